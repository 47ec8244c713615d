//! Which stored binding a contact of a REGISTER means (behaviour §2, RFC 3261 §10.3 step 7, RFC 5626 §6).

use seawall_sip::uri::Uri;

use crate::binding::Binding;

/// How contacts are matched (`matching-mode`). A flow, which is a contact with `reg-id` and `+sip.instance`, is matched by
/// these two alone in every mode, and only with flows (RFC 5626 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching<'a> {
    /// By Contact URI (RFC 3261 §19.1.4).
    #[default]
    Uri,
    /// By Contact URI and Call-ID.
    UriAndCallId,
    /// By the value of this URI parameter alone. A contact without it is matched by URI, and only against bindings
    /// that lack it too.
    Param(&'a [u8]),
    /// By the values of all of these URI parameters, which have to be the same bytes (`pn_ct_match_params`, registrar
    /// 1.3.24). A binding that lacks one is not meant.
    Params(&'a [Box<[u8]>]),
}

/// The contact to look for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate<'a> {
    /// The Contact URI, without angle brackets.
    pub contact: &'a [u8],
    /// The Call-ID; used by [`Matching::UriAndCallId`] only.
    pub callid: &'a [u8],
    /// `+sip.instance`; empty when there is none.
    pub instance: &'a [u8],
    /// `reg-id`; 0 when there is none.
    pub reg_id: u32,
}

impl Candidate<'_> {
    /// The binding that the candidate means, with its position. A binding with byte for byte the same contact is
    /// preferred to one that is only equivalent.
    pub fn find<'b>(
        &self,
        bindings: impl Iterator<Item = (usize, Binding<'b>)> + Clone,
        matching: Matching<'_>,
    ) -> Option<(usize, Binding<'b>)> {
        if self.reg_id != 0 && !self.instance.is_empty() {
            let same_flow = |binding: &Binding<'_>| {
                binding.numbers.reg_id == self.reg_id && binding.instance.eq_ignore_ascii_case(self.instance)
            };
            return first(bindings, same_flow);
        }
        match matching {
            Matching::Uri => self.find_uri(bindings, |_| true),
            Matching::UriAndCallId => self.find_uri(bindings, |binding| binding.callid == self.callid),
            Matching::Param(name) => self.find_param(bindings, name),
            Matching::Params(names) => self.find_params(bindings, names),
        }
    }

    fn find_uri<'b>(
        &self,
        bindings: impl Iterator<Item = (usize, Binding<'b>)> + Clone,
        also: impl Fn(&Binding<'_>) -> bool,
    ) -> Option<(usize, Binding<'b>)> {
        let same_bytes =
            |binding: &Binding<'_>| binding.contact == self.contact && !binding.is_flow() && also(binding);
        if let Some(found) = first(bindings.clone(), same_bytes) {
            return Some(found);
        }
        let mut wanted = None;
        first(bindings, |binding| {
            // Parsed once, and only when there is another binding to compare with.
            let wanted = wanted.get_or_insert_with(|| Uri::parse(self.contact).ok());
            let equivalent = wanted.as_ref().zip(Uri::parse(binding.contact).ok());
            equivalent.is_some_and(|(wanted, stored)| wanted.equals(&stored))
                && !binding.is_flow()
                && also(binding)
        })
    }

    fn find_param<'b>(
        &self,
        bindings: impl Iterator<Item = (usize, Binding<'b>)> + Clone,
        name: &[u8],
    ) -> Option<(usize, Binding<'b>)> {
        let value = param_of(self.contact, name);
        if value.is_some() {
            let is_meant =
                |binding: &Binding<'_>| param_of(binding.contact, name) == value && !binding.is_flow();
            return first(bindings, is_meant);
        }
        self.find_uri(bindings, |binding| param_of(binding.contact, name).is_none())
    }

    fn find_params<'b>(
        &self,
        bindings: impl Iterator<Item = (usize, Binding<'b>)> + Clone,
        names: &[Box<[u8]>],
    ) -> Option<(usize, Binding<'b>)> {
        // Most refresh what they have: the same bytes have the same parameters, and all of them, where they once did.
        let same_bytes = |binding: &Binding<'_>| {
            binding.contact == self.contact && binding.is_pushed() && !binding.is_flow()
        };
        if let Some(found) = first(bindings.clone(), same_bytes) {
            return Some(found);
        }
        let wanted = Uri::parse(self.contact).ok()?;
        let is_same = |stored: &Uri<'_>| {
            !names.is_empty()
                && names.iter().all(|name| {
                    let value = wanted.param(name).flatten();
                    value.is_some() && stored.param(name).flatten() == value
                })
        };
        first(bindings, |binding| {
            !binding.is_flow() && Uri::parse(binding.contact).is_ok_and(|uri| is_same(&uri))
        })
    }
}

#[inline]
fn first<'b>(
    mut bindings: impl Iterator<Item = (usize, Binding<'b>)>,
    mut is_meant: impl FnMut(&Binding<'_>) -> bool,
) -> Option<(usize, Binding<'b>)> {
    bindings.find(|(_, binding)| is_meant(binding))
}

fn param_of<'a>(contact: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    Uri::parse(contact).ok()?.param(name)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Numbers;

    fn check(matching: Matching<'_>, wanted: &str, stored: &[&str], expected: Option<usize>) {
        let bindings = stored.iter().map(|contact| at(contact, "1"));
        let candidate = Candidate { contact: wanted.as_bytes(), callid: b"1", ..Candidate::default() };
        let found = candidate.find(bindings.enumerate(), matching);
        assert_eq!(found.map(|(position, _)| position), expected, "{wanted} in {stored:?}");
    }

    fn at<'a>(contact: &'a str, callid: &'a str) -> Binding<'a> {
        Binding { contact: contact.as_bytes(), callid: callid.as_bytes(), ..Binding::default() }
    }

    #[test]
    fn contacts_match_by_uri_and_the_same_bytes_come_first() {
        check(Matching::Uri, "sip:a@h", &[], None);
        check(Matching::Uri, "sip:a@h", &["sip:b@h", "sip:a@h"], Some(1));
        check(Matching::Uri, "sip:a@HOST", &["sip:b@h", "sip:%61@host"], Some(1));
        check(Matching::Uri, "sip:a@h;x=1", &["sip:a@h", "sip:a@h;x=1"], Some(1));
        check(Matching::Uri, "sip:a@h;x=1", &["sip:a@h"], Some(0));
        check(Matching::Uri, "sip:a@h;transport=tcp", &["sip:a@h"], None);
        check(Matching::Uri, "sip:a@h:5060", &["sip:a@h"], None);
    }

    #[test]
    fn a_parameter_decides_alone_and_a_contact_without_it_is_matched_by_uri() {
        let mode = Matching::Param(b"rinstance");
        check(mode, "sip:a@1.1.1.1;rinstance=7", &["sip:a@2.2.2.2;rinstance=7"], Some(0));
        check(mode, "sip:a@1.1.1.1;rinstance=7", &["sip:a@1.1.1.1;rinstance=8"], None);
        check(mode, "sip:a@1.1.1.1;rinstance=7", &["sip:a@1.1.1.1"], None);
        check(mode, "sip:a@1.1.1.1", &["sip:a@1.1.1.1;rinstance=7"], None);
        check(mode, "sip:a@1.1.1.1", &["sip:a@1.1.1.1;rinstance=7", "sip:a@1.1.1.1"], Some(1));
    }

    #[test]
    fn several_parameters_decide_together_and_what_lacks_one_is_not_meant() {
        let names: [Box<[u8]>; 2] = [(*b"pn-provider").into(), (*b"pn-prid").into()];
        let mode = Matching::Params(&names);
        let wanted = "sip:a@192.0.2.7:9999;pn-provider=fcm;pn-prid=T1";
        check(mode, wanted, &["sip:b@198.51.100.1;PN-prid=T1;pn-provider=fcm"], Some(0));
        check(mode, wanted, &["sip:a@192.0.2.7:9999;pn-provider=fcm;pn-prid=t1"], None);
        check(mode, wanted, &["sip:a@192.0.2.7:9999;pn-provider=fcm", "sip:a@192.0.2.7:9999"], None);
        check(mode, "sip:a@h;pn-provider=fcm;pn-prid", &["sip:a@h;pn-provider=fcm;pn-prid"], None);
    }

    #[test]
    fn the_call_id_counts_where_the_mode_says_so() {
        let stored = [at("sip:a@h", "0"), at("sip:a@h", "1")];
        let candidate = Candidate { contact: b"sip:a@h", callid: b"1", ..Candidate::default() };
        let find = |matching| {
            let found = candidate.find(stored.iter().copied().enumerate(), matching);
            found.map(|(position, _)| position)
        };
        assert_eq!(find(Matching::UriAndCallId), Some(1));
        assert_eq!(find(Matching::Uri), Some(0));
    }

    #[test]
    fn reg_id_and_instance_match_whatever_the_uri_is() {
        let numbers = Numbers { reg_id: 2, ..Numbers::default() };
        let stored =
            [at("sip:a@h", "1"), Binding { numbers, instance: b"<urn:uuid:AB>", ..at("sip:b@h", "1") }];
        let find = |reg_id| {
            let candidate =
                Candidate { contact: b"sip:a@h", callid: b"1", instance: b"<urn:uuid:ab>", reg_id };
            let found = candidate.find(stored.iter().copied().enumerate(), Matching::Uri);
            found.map(|(position, _)| position)
        };
        assert_eq!(find(2), Some(1));
        assert_eq!(find(3), None);
        assert_eq!(find(0), Some(0));
        let by_uri = |contact: &str| {
            let candidate = Candidate { contact: contact.as_bytes(), callid: b"1", ..Candidate::default() };
            candidate.find(stored.iter().copied().enumerate(), Matching::Uri).map(|(position, _)| position)
        };
        assert_eq!(by_uri("sip:a@h"), Some(0));
        assert_eq!(by_uri("sip:b@h"), None, "a flow is not meant by its URI");
    }
}
