//! Checks of objects for problems that no key of the table would tell, because nothing uses the object, or because
//! they are of the object as a whole.

use crate::reader::Reader;
use crate::store::ObjectId;
use crate::translate::Options;

pub(super) fn check(object: &ObjectId, options: &Options, reader: &Reader<'_>) {
    let _ = (object, options, reader);
}
