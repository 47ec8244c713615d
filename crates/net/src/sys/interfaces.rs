//! The addresses of this machine.

use std::io;
use std::net::IpAddr;
use std::ptr;

use super::address::RawAddress;

/// The addresses of all interfaces that are up, loopback included, without duplicates and in the kernel's order.
/// Link-local IPv6 addresses are left out: they mean nothing without their interface.
///
/// # Errors
/// When the kernel does not tell.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer to the list, which is freed below.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: not null, so an entry of the list, which is not freed yet.
        let (next, flags, address) = unsafe { ((*entry).ifa_next, (*entry).ifa_flags, (*entry).ifa_addr) };
        entry = next;
        if flags & libc::IFF_UP as libc::c_uint == 0 || address.is_null() {
            continue;
        }
        if let Some(ip) = read(address)
            && !addresses.contains(&ip)
        {
            addresses.push(ip);
        }
    }
    // SAFETY: `list` came from getifaddrs, nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

fn read(address: *const libc::sockaddr) -> Option<IpAddr> {
    let mut raw = RawAddress::EMPTY;
    // SAFETY: getifaddrs gives a valid sockaddr of the size that its family says.
    let len = match libc::c_int::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    // SAFETY: the source has `len` bytes (see above), RawAddress has room for either form and any bytes are valid.
    unsafe { ptr::copy_nonoverlapping(address.cast::<u8>(), ptr::from_mut(&mut raw).cast::<u8>(), len) };
    let ip = raw.get()?.ip();
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => None,
        ip => Some(ip),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_among_the_local_addresses() {
        let addresses = super::local_addresses().unwrap();
        assert!(addresses.iter().any(std::net::IpAddr::is_loopback), "{addresses:?}");
    }
}
