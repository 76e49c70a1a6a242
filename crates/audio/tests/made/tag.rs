//! What players put in front of an mp3.

/// An ID3 tag with the picture of a record.
pub(crate) fn picture_tag() -> Vec<u8> {
    let picture = [
        &b"\0image/jpeg\0\x03\0\xff\xd8\xff\xe0"[..],
        &[0x5a; 200_000],
        b"\xff\xd9",
    ]
    .concat();
    let frame = [&b"APIC"[..], &(picture.len() as u32).to_be_bytes(), &[0, 0], &picture].concat();
    let size = frame.len() as u32;
    let seven = |shift: u32| (size >> shift & 0x7f) as u8;
    let head = [b'I', b'D', b'3', 3, 0, 0, seven(21), seven(14), seven(7), seven(0)];
    [&head[..], &frame].concat()
}
