//! [`partition_of`]: the partition that a key goes to, as Kafka's own clients have it.

/// The partition of a topic with `partitions` of them to which a key goes: `murmur2`, without its sign, modulo
/// (org.apache.kafka.common.utils.Utils, and librdkafka's `murmur2_random`).
#[must_use]
pub fn partition_of(key: &str, partitions: i32) -> i32 {
    let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
    i32::try_from(positive).unwrap_or(0) % partitions.max(1)
}

/// MurmurHash2, 32 bits, by Austin Appleby, with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mix = |word: u32| {
        let word = word.wrapping_mul(M);
        (word ^ (word >> 24)).wrapping_mul(M)
    };
    let (words, rest) = data.as_chunks::<4>();
    #[expect(clippy::cast_possible_truncation, reason = "keys are short, and longer ones only hash worse")]
    let mut hash =
        words.iter().fold(SEED ^ data.len() as u32, |hash, word| hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word)));
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that the Java client's own tests name (UtilsTest.testMurmur2).
    #[test]
    fn hashes_are_those_of_the_java_client() {
        for (text, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
        assert!((0..12).contains(&partition_of("ana", 12)));
    }
}
