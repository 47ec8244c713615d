//! Images: what one address of record held at some moment, to be put back when a store did not take what followed.

use crate::binding::Binding;
use crate::change::{Change, Removal, Sink};
use crate::entry::Entry;
use crate::record::{NOT_ARMED, Record, RecordView};

/// A copy of one address of record with its bindings; also of one that had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image(Option<Box<[u8]>>);

impl Image {
    /// The image of an address of record that has no bindings.
    pub const NOTHING: Image = Image(None);

    /// Whether it had no bindings.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<RecordView<'_>> for Image {
    fn from(view: RecordView<'_>) -> Image {
        if view.is_empty() { Image::NOTHING } else { Image(Some(view.bytes().into())) }
    }
}

impl Entry<'_> {
    /// A copy of what the address of record holds now.
    pub fn image(&self) -> Image {
        self.view().map_or(Image::NOTHING, Image::from)
    }

    /// Puts back what the address of record held when `image` was made, and tells the difference: what came since then
    /// goes away as if an operator had removed it, and what went away comes back.
    pub fn restore(&mut self, image: &Image, sink: &mut dyn Sink) {
        let names = self.domain().names();
        self.before(sink);
        let old = image.0.as_deref().map(|bytes| RecordView::new(bytes, names));
        let old: Vec<Binding<'_>> = old.map_or_else(Vec::new, |view| view.bindings().collect());
        let find = |id: u64| old.iter().find(|binding| binding.numbers.contact_id == id);
        // What is gone for good is removed and told by the usual way, so that counts and wheel stay right.
        self.remove(sink, |_, binding| {
            find(binding.numbers.contact_id).is_none().then_some(Removal::Administrative)
        });
        let Some(bytes) = &image.0 else { return };
        let new: Vec<(u64, bool)> =
            self.bindings().map(|now| (now.numbers.contact_id, known(&old, &now))).collect();
        if new.is_empty() {
            self.tell(sink, Change::AorInsert);
        }
        let mut record = Record::from_bytes(bytes);
        record.set_armed_s(NOT_ARMED);
        self.put(record);
        for binding in &old {
            match new.iter().find(|(id, _)| *id == binding.numbers.contact_id) {
                None => self.tell(sink, Change::ContactInsert(*binding)),
                Some((_, false)) => self.tell(sink, Change::ContactUpdate(*binding)),
                Some((_, true)) => {}
            }
        }
    }
}

/// Whether `now` stands unchanged among `old`.
fn known(old: &[Binding<'_>], now: &Binding<'_>) -> bool {
    old.iter().any(|binding| binding == now)
}
