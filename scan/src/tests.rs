use proptest::prelude::*;

use crate::dispatch::run;
use crate::mask::{BLOCK, Kernel, Masks, Portable};

/// Asks everything about one block.
#[derive(Clone, Copy)]
struct Ask {
    block: [u8; BLOCK],
    byte: u8,
    base: u32,
}

type Answers = (u64, u64, Vec<u32>);

impl Kernel for Ask {
    type Output = Answers;

    #[inline(always)]
    fn run<M: Masks>(self, masks: M) -> Answers {
        let mask = masks.equals(&self.block, self.byte);
        let mut places = [0; BLOCK];
        masks.write_places(mask, self.base, &mut places);
        let places = places[..mask.count_ones() as usize].to_vec();
        (mask, masks.parity_up_to(mask), places)
    }
}

/// Answers with the obvious loops.
fn obvious(ask: Ask) -> Answers {
    let places: Vec<u32> = (0..BLOCK as u32)
        .filter(|&place| ask.block[place as usize] == ask.byte)
        .collect();
    let mask = places.iter().fold(0, |mask, place| mask | 1_u64 << place);
    let parity = (0..BLOCK).fold(0, |parity, place| {
        let up_to = mask & (u64::MAX >> (63 - place));
        parity | u64::from(up_to.count_ones() % 2) << place
    });
    (mask, parity, places.iter().map(|place| ask.base + place).collect())
}

proptest! {
    #[test]
    fn every_way_gives_the_obvious_answer(
        bytes in proptest::collection::vec(any::<u8>(), BLOCK),
        byte: u8,
        few in 1_u8..,
        base in 0_u32..1 << 31,
    ) {
        let mut block = [0; BLOCK];
        for (to, from) in block.iter_mut().zip(&bytes) {
            *to = *from % few;
        }
        let ask = Ask { block, byte: byte % few, base };
        prop_assert_eq!(ask.run(Portable), obvious(ask));
        prop_assert_eq!(run(ask), obvious(ask));
        #[cfg(target_arch = "x86_64")]
        if let Some(narrow) = crate::x86::run_narrow(ask) {
            prop_assert_eq!(narrow, obvious(ask));
        }
    }
}

#[cfg(feature = "text")]
mod text {
    use arrow_array::StringViewArray;
    use arrow_buffer::Buffer;
    use proptest::prelude::*;

    use crate::{NotUtf8, TextViews, ascii_column};

    proptest! {
        #[test]
        fn a_column_of_pieces_is_what_arrow_makes_of_them(pieces in proptest::collection::vec(".{0,20}", 0..20), slack in 0_usize..20) {
            let mut bytes = pieces.concat().into_bytes();
            bytes.resize(bytes.len() + slack, b'x');
            let mut views = TextViews::new(Buffer::from_vec(bytes));
            let mut start = 0;
            for (place, piece) in pieces.iter().enumerate() {
                if place % 3 == 2 {
                    views.push_copied(piece.as_bytes()).expect("is UTF-8");
                } else {
                    views.push(start..start + piece.len()).expect("is UTF-8");
                }
                start += piece.len();
            }
            let column = views.finish();
            // What the column claims without a check is checked here.
            let checked = StringViewArray::try_new(column.views().clone(), column.data_buffers().to_vec(), None);
            prop_assert_eq!(checked.expect("the views are right"), StringViewArray::from_iter_values(&pieces));
        }

        #[test]
        fn bytes_are_taken_exactly_if_they_are_utf8(bytes in proptest::collection::vec(any::<u8>(), 0..30), start in 0_usize..30, length in 0_usize..30) {
            let start = start.min(bytes.len());
            let end = (start + length).min(bytes.len());
            let is_utf8 = std::str::from_utf8(&bytes[start..end]).map(drop).map_err(|_| NotUtf8);
            let mut views = TextViews::new(Buffer::from_vec(bytes.clone()));
            prop_assert_eq!(views.push(start..end), is_utf8);
            prop_assert_eq!(views.push_copied(&bytes[start..end]), is_utf8);
        }
    }

    #[test]
    fn a_text_is_cut_into_values_of_one_length_if_it_is_ascii() {
        let column = ascii_column(Buffer::from_vec(b"abcdefghijklmnopqrstuvwxyz".to_vec()), 13).expect("is ASCII");
        let checked = StringViewArray::try_new(column.views().clone(), column.data_buffers().to_vec(), None);
        let values = ["abcdefghijklm", "nopqrstuvwxyz"];
        assert_eq!(
            checked.expect("the views are right"),
            StringViewArray::from_iter_values(values)
        );
        assert!(ascii_column(Buffer::from_vec("ä".repeat(13).into_bytes()), 13).is_none());
    }

    #[test]
    fn a_text_that_no_value_points_to_is_let_go_of() {
        let text = Buffer::from_vec(b"short,and short".to_vec());
        let mut views = TextViews::new(text.clone());
        views.push(0..5).expect("is UTF-8");
        assert_eq!((views.used(), views.finish().data_buffers().len()), (0, 0));
        let mut views = TextViews::new(text);
        views.push(0..15).expect("is UTF-8");
        assert_eq!((views.used(), views.finish().data_buffers().len()), (15, 1));
    }
}
