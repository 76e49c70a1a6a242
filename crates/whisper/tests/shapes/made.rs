//! Writes a model.

use std::io::Write as _;

use stt_core::Language;
use tempfile::TempDir;

/// Width of the network, and its heads.
const WIDTH: usize = 16;
const HEADS: i16 = 2;

/// How a model is made; the default is `base` with 2,000 tokens of text.
pub(crate) struct Shape {
    pub(crate) mels: usize,
    pub(crate) languages: usize,
    /// Tokens of text, of which the first 256 are the bytes, and the rest pairs of them.
    pub(crate) text_tokens: usize,
    pub(crate) multilingual: bool,
    pub(crate) encoder_layers: usize,
    pub(crate) decoder_layers: usize,
    /// Tokens behind the last timestamp.
    pub(crate) padding: usize,
    pub(crate) alignment_heads: &'static str,
    /// Whether config.json has `lang_ids`.
    pub(crate) lists_languages: bool,
    /// vocabulary.txt for vocabulary.json.
    pub(crate) as_text: bool,
    pub(crate) no_speech: &'static str,
    /// Writes a tokenizer.json, in which that token has this name.
    pub(crate) tokenizer_no_speech: Option<&'static str>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            mels: 80,
            languages: 99,
            text_tokens: 2_000,
            multilingual: true,
            encoder_layers: 1,
            decoder_layers: 1,
            padding: 0,
            alignment_heads: "[[0, 0], [0, 1]]",
            lists_languages: true,
            as_text: false,
            no_speech: "<|nospeech|>",
            tokenizer_no_speech: None,
        }
    }
}

impl Shape {
    /// The model in a folder of its own.
    pub(crate) fn write(&self) -> TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, content: &[u8]| {
            std::fs::write(dir.path().join(name), content).expect("a file of the model");
        };
        let vocabulary = self.vocabulary();
        if self.as_text {
            write("vocabulary.txt", (vocabulary.join("\n") + "\n").as_bytes());
        } else {
            write("vocabulary.json", &serde_json::to_vec(&vocabulary).expect("JSON"));
        }
        if let Some(no_speech) = self.tokenizer_no_speech {
            write(
                "tokenizer.json",
                tokenizer(&vocabulary, self.no_speech, no_speech).as_bytes(),
            );
        }
        let first = vocabulary.iter().position(|token| token == "<|en|>").expect("English");
        let lang_ids: Vec<usize> = (first..first + self.languages).collect();
        let languages = if self.lists_languages {
            format!(r#""lang_ids": {lang_ids:?}, "#)
        } else {
            String::new()
        };
        let config = format!(
            r#"{{{languages}"alignment_heads": {}, "suppress_ids": [], "suppress_ids_begin": []}}"#,
            self.alignment_heads
        );
        write("config.json", config.as_bytes());
        write("model.bin", &self.weights(vocabulary.len()));
        dir
    }

    fn vocabulary(&self) -> Vec<String> {
        let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let others = (0..256).filter(|byte| !printable(byte)).enumerate();
        let bytes: Vec<char> = (0..256)
            .filter(printable)
            .chain(others.map(|(number, _)| 256 + number as u32))
            .filter_map(char::from_u32)
            .collect();
        let pairs = bytes
            .iter()
            .flat_map(|first| bytes.iter().map(move |second| format!("{first}{second}")));
        let mut tokens: Vec<String> = bytes
            .iter()
            .map(char::to_string)
            .chain(pairs)
            .take(self.text_tokens)
            .collect();
        if self.multilingual {
            *tokens.last_mut().expect("text") = String::new();
        }
        tokens.extend(["<|endoftext|>", "<|startoftranscript|>"].map(str::to_owned));
        // As Whisper lists them: English first, Cantonese, which large-v3 brought, last.
        let mut languages: Vec<&str> = Language::all().map(|language| language.code()).collect();
        languages.sort_by_key(|code| (*code != "en", *code == "yue"));
        tokens.extend(languages.iter().take(self.languages).map(|code| format!("<|{code}|>")));
        let specials = [
            "<|translate|>",
            "<|transcribe|>",
            "<|startoflm|>",
            "<|startofprev|>",
            self.no_speech,
        ];
        tokens.extend(specials.map(str::to_owned));
        tokens.push("<|notimestamps|>".to_owned());
        let timestamp = |number: usize| format!("<|{}.{:02}|>", number / 50, number % 50 * 2);
        tokens.extend((0..1501).chain(0..self.padding).map(timestamp));
        tokens
    }

    /// Source: `ModelSpec.save` of CTranslate2.
    fn weights(&self, tokens: usize) -> Vec<u8> {
        let mut all = Variables::default();
        let wide = 2 * WIDTH;
        all.random("encoder/conv1/weight", &[WIDTH, self.mels, 3]);
        all.random("encoder/conv1/bias", &[WIDTH]);
        all.random("encoder/conv2/weight", &[WIDTH, WIDTH, 3]);
        all.random("encoder/conv2/bias", &[WIDTH]);
        all.random("encoder/position_encodings/encodings", &[1500, WIDTH]);
        all.random("decoder/embeddings/weight", &[tokens, WIDTH]);
        all.random("decoder/position_encodings/encodings", &[448, WIDTH]);
        for (part, layers) in [("encoder", self.encoder_layers), ("decoder", self.decoder_layers)] {
            all.norm(&format!("{part}/layer_norm"));
            all.number(&format!("{part}/num_heads"), &HEADS.to_le_bytes());
            for layer in 0..layers {
                let layer = format!("{part}/layer_{layer}");
                let attention = |name: &str| format!("{layer}/{name}");
                all.norm(&attention("self_attention/layer_norm"));
                all.linear(&attention("self_attention/linear_0"), 3 * WIDTH, WIDTH);
                all.linear(&attention("self_attention/linear_1"), WIDTH, WIDTH);
                if part == "decoder" {
                    all.norm(&attention("attention/layer_norm"));
                    all.linear(&attention("attention/linear_0"), WIDTH, WIDTH);
                    all.linear(&attention("attention/linear_1"), 2 * WIDTH, WIDTH);
                    all.linear(&attention("attention/linear_2"), WIDTH, WIDTH);
                }
                all.norm(&attention("ffn/layer_norm"));
                all.linear(&attention("ffn/linear_0"), wide, WIDTH);
                all.linear(&attention("ffn/linear_1"), WIDTH, wide);
            }
        }
        for (name, value) in [
            ("activation", 3),
            ("alibi", 0),
            ("alibi_use_positive_positions", 1),
            ("pre_norm", 1),
            ("scale_alibi", 0),
            ("scale_embeddings", 0),
            ("start_from_zero_embedding", 0),
        ] {
            all.number(&format!("decoder/{name}"), &[value]);
        }
        all.number("decoder/alignment_heads", &1_i16.to_le_bytes());
        all.number("decoder/alignment_layer", &(-1_i16).to_le_bytes());
        all.file()
    }
}

/// The variables of a model, encoded one after another.
struct Variables {
    count: u32,
    encoded: Vec<u8>,
    state: u32,
}

impl Default for Variables {
    fn default() -> Self {
        Self {
            count: 0,
            encoded: vec![],
            state: 7,
        }
    }
}

impl Variables {
    fn put(&mut self, name: &str, shape: &[usize], kind: u8, data: &[u8]) {
        self.count += 1;
        self.encoded.extend(string(name));
        self.encoded.push(shape.len() as u8);
        let numbers = shape.iter().flat_map(|size| (*size as u32).to_le_bytes());
        self.encoded.extend(numbers);
        self.encoded.push(kind);
        self.encoded.extend((data.len() as u32).to_le_bytes());
        self.encoded.extend(data);
    }

    /// A number of one byte, or of two.
    fn number(&mut self, name: &str, value: &[u8]) {
        self.put(name, &[], value.len() as u8, value);
    }

    fn floats(&mut self, name: &str, shape: &[usize], value: impl FnMut() -> f32) {
        let mut value = value;
        let data: Vec<u8> = (0..shape.iter().product())
            .flat_map(|_| value().to_le_bytes())
            .collect();
        self.put(name, shape, 0, &data);
    }

    fn random(&mut self, name: &str, shape: &[usize]) {
        let mut state = self.state;
        self.floats(name, shape, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        });
        self.state = state;
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.random(&format!("{name}/weight"), &[outputs, inputs]);
        self.random(&format!("{name}/bias"), &[outputs]);
    }

    fn norm(&mut self, name: &str) {
        self.floats(&format!("{name}/gamma"), &[WIDTH], || 1.0);
        self.floats(&format!("{name}/beta"), &[WIDTH], || 0.0);
    }

    fn file(self) -> Vec<u8> {
        let mut file = 6_u32.to_le_bytes().to_vec();
        file.extend(string("WhisperSpec"));
        file.extend(3_u32.to_le_bytes());
        file.extend(self.count.to_le_bytes());
        file.extend(self.encoded);
        file.extend(1_u32.to_le_bytes()); // aliases
        file.extend(string("decoder/projection/weight"));
        file.extend(string("decoder/embeddings/weight"));
        file
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16 + 1).to_le_bytes().to_vec();
    bytes.write_all(text.as_bytes()).expect("memory");
    bytes.push(0);
    bytes
}

/// A tokenizer of bytes alone, with the specials of the vocabulary; one of them by another name.
fn tokenizer(vocabulary: &[String], name: &str, other: &str) -> String {
    let end = vocabulary
        .iter()
        .position(|token| token == "<|endoftext|>")
        .expect("the end of text");
    let last = vocabulary
        .iter()
        .position(|token| token == "<|notimestamps|>")
        .expect("no timestamps");
    let renamed = |token: &String| if token == name { other.to_owned() } else { token.clone() };
    let ids: serde_json::Map<String, serde_json::Value> = vocabulary[..=last]
        .iter()
        .map(renamed)
        .zip((0..=last).map(serde_json::Value::from))
        .collect();
    let special = |id: usize| {
        serde_json::json!({
            "id": id, "content": renamed(&vocabulary[id]), "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let byte_level = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    serde_json::json!({
        "version": "1.0",
        "added_tokens": (end..=last).map(special).collect::<Vec<_>>(),
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": ids, "merges": []},
    })
    .to_string()
}
