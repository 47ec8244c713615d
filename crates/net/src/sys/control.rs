//! Control messages that tell, and choose, the local address of a datagram on a socket bound to the wildcard address
//! (`IP_PKTINFO`, RFC 3542 §6.1).

use std::mem::{align_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Room for one control message: header (16 bytes) and the larger of the two payloads (20 bytes, padded to 24).
const CONTROL_BYTES: usize = 64;

/// A buffer for control messages, aligned as their headers must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control([u8; CONTROL_BYTES]);

const _: () = assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());

impl Control {
    pub(crate) const EMPTY: Self = Self([0; CONTROL_BYTES]);

    /// Where the kernel shall read or write.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Its size in bytes.
    pub(crate) const fn len() -> usize {
        CONTROL_BYTES
    }

    /// The local address that the kernel reported in the first `used` bytes.
    #[allow(clippy::unnecessary_cast, reason = "the lengths are of another type on musl")]
    pub(crate) fn local(&mut self, used: usize) -> Option<IpAddr> {
        if used < size_of::<libc::cmsghdr>() {
            return None;
        }
        // SAFETY: all zeros is a valid msghdr (null pointers, zero lengths).
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_control = self.as_mut_ptr();
        message.msg_controllen = used.min(CONTROL_BYTES) as _;
        // SAFETY: `message` describes `self.0`, which is initialised and aligned for a cmsghdr. CMSG_FIRSTHDR and
        // CMSG_NXTHDR give null or a pointer to a header inside these bytes.
        let mut header = unsafe { libc::CMSG_FIRSTHDR(&message) };
        while !header.is_null() {
            // SAFETY: not null, so inside the buffer, see above.
            let (level, kind, len) =
                unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len) };
            // SAFETY: CMSG_DATA only computes the address behind the header; CMSG_LEN only a length.
            let (data, v4_len, v6_len) = unsafe {
                (
                    libc::CMSG_DATA(header),
                    libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize,
                    libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as u32) as usize,
                )
            };
            if level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO && len as usize >= v4_len {
                // SAFETY: the length says that the payload is a whole in_pktinfo; it is read unaligned.
                let info = unsafe { ptr::read_unaligned(data.cast::<libc::in_pktinfo>()) };
                // Not the destination in the packet: that may be a broadcast or multicast address.
                return Some(IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())));
            }
            if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO && len as usize >= v6_len {
                // SAFETY: the length says that the payload is a whole in6_pktinfo; it is read unaligned.
                let info = unsafe { ptr::read_unaligned(data.cast::<libc::in6_pktinfo>()) };
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                return (!ip.is_multicast()).then_some(IpAddr::V6(ip));
            }
            // SAFETY: `header` came from CMSG_FIRSTHDR or CMSG_NXTHDR over the same `message`.
            header = unsafe { libc::CMSG_NXTHDR(&message, header) };
        }
        None
    }

    /// Writes the wish to send from `source`; gives the number of bytes used.
    pub(crate) fn set_source(&mut self, source: IpAddr) -> usize {
        *self = Self::EMPTY;
        match source {
            IpAddr::V4(ip) => self.put(
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                },
            ),
            IpAddr::V6(ip) => self.put(
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 },
            ),
        }
    }

    fn put<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, payload: T) -> usize {
        // SAFETY: these two only compute lengths.
        let (len, space) =
            unsafe { (libc::CMSG_LEN(size_of::<T>() as u32), libc::CMSG_SPACE(size_of::<T>() as u32)) };
        let space = space as usize;
        if space > CONTROL_BYTES {
            return 0;
        }
        let header = self.as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: the buffer is aligned for a cmsghdr and has room for header and payload (checked above);
        // CMSG_DATA is the address behind the header, written unaligned.
        unsafe {
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = len as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast::<T>(), payload);
        }
        space
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_source_is_read_back_as_the_local_address() {
        let mut control = Control::EMPTY;
        let source: IpAddr = "2001:db8::7".parse().unwrap();
        let used = control.set_source(source);
        assert!(used > 0 && used <= Control::len());
        assert_eq!(control.local(used), Some(source));
    }

    #[test]
    fn no_control_message_gives_no_local_address() {
        assert_eq!(Control::EMPTY.clone().local(0), None);
        assert_eq!(Control::EMPTY.clone().local(Control::len()), None);
    }
}
