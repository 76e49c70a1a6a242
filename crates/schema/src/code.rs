//! The closed lists on the wire and in metric labels.

use serde::{Deserialize, Serialize};

/// Where a job failed: `failureStage` of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureStage {
    /// The message is not a valid job.
    Validation,
    /// The audio could not be had.
    Download,
    /// The audio could not be decoded or transcribed.
    Transcribe,
    /// The result could not be published as it is.
    Publish,
}

impl FailureStage {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "VALIDATION",
            Self::Download => "DOWNLOAD",
            Self::Transcribe => "TRANSCRIBE",
            Self::Publish => "PUBLISH",
        }
    }
}

macro_rules! error_codes {
    ($($variant:ident $wire:literal $stage:ident $meaning:literal;)*) => {
        /// Why a job failed: `errorCode` of a result and of a dead letter. A closed list; additions are a new version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[serde(rename = $wire)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the stages.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The name on the wire and in metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// The stage that reports this code.
            #[must_use]
            pub const fn stage(self) -> FailureStage {
                match self { $(Self::$variant => FailureStage::$stage,)* }
            }

            /// What it means, one line, for documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

error_codes! {
    InvalidJson "INVALID_JSON" Validation "The message value is not JSON.";
    InvalidJob "INVALID_JOB" Validation "The JSON is not a job: a field is missing or of the wrong form.";
    InvalidAudioUrl "INVALID_AUDIO_URL" Validation "`audioUrl` is no http(s) URL, or carries credentials.";
    UnsupportedLanguage "UNSUPPORTED_LANGUAGE" Validation "`languageHint` names a language that Whisper does not know.";
    JobTooLarge "JOB_TOO_LARGE" Validation "The message is larger than a job may be.";
    SsrfBlocked "SSRF_BLOCKED" Download "The URL leads to an address or port that the worker must not reach.";
    DownloadFailed "DOWNLOAD_FAILED" Download "The host could not be resolved or reached, or the transfer broke.";
    DownloadTimeout "DOWNLOAD_TIMEOUT" Download "The audio did not arrive within `AUDIO_DOWNLOAD_TIMEOUT`, or came too slowly.";
    DownloadHttpStatus "DOWNLOAD_HTTP_STATUS" Download "The server answered with an error status.";
    AudioTooLarge "AUDIO_TOO_LARGE" Download "The audio has more than `MAX_AUDIO_BYTES`.";
    AudioUnsupportedFormat "AUDIO_UNSUPPORTED_FORMAT" Transcribe "The bytes are in no format that the worker decodes.";
    AudioNoStream "AUDIO_NO_STREAM" Transcribe "The media has no audio stream.";
    AudioEmpty "AUDIO_EMPTY" Transcribe "The media has no audio samples, or the download no bytes.";
    AudioDecodeFailed "AUDIO_DECODE_FAILED" Transcribe "The audio is damaged: nothing of it could be decoded.";
    AudioTooLong "AUDIO_TOO_LONG" Transcribe "The audio lasts longer than `MAX_AUDIO_DURATION_SEC`.";
    TranscribeTimeout "TRANSCRIBE_TIMEOUT" Transcribe "Decoding and transcription did not end within `TRANSCRIBE_TIMEOUT`.";
    TranscribeFailed "TRANSCRIBE_FAILED" Transcribe "The engine failed on this audio.";
    WorkerCrashed "WORKER_CRASHED" Transcribe "The job brought its worker thread down, or three worker processes.";
    PublishFailed "PUBLISH_FAILED" Publish "The broker does not take the outcome; the worker holds the job, so this is seen in logs and metrics only.";
    ResultTooLarge "RESULT_TOO_LARGE" Publish "The result is larger than the broker takes, also without detail.";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for FailureStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_wire_name() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
            assert!(code.meaning().ends_with('.'), "{code} lacks its meaning");
        }
        for stage in [
            FailureStage::Validation,
            FailureStage::Download,
            FailureStage::Transcribe,
            FailureStage::Publish,
        ] {
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("\"{stage}\""));
        }
    }
}
