"""What language rows are probably in: seven by their small words, others by their script, else `unknown`.

Light and coarse on purpose. A row of Cyrillic, Arabic, Hebrew, Devanagari or Han letters is named by its
script, which several languages share. Short answers, code, tables and languages not listed are `unknown`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.words import SCRIPT_BITS, Numbers, TextBatch

UNKNOWN = "unknown"
_SMALL_WORDS = {
    "English": "the of and to is in that it for was on are with as you this be have from at or by not but "
    "what which they his she he were an will can your how would there their "
    "a as do no i we so all if has had per die come if its more than each much many",
    "German": "der die und das ist nicht ein eine zu den mit von sich auf für dem des im auch als wie es "
    "sind aber oder bei wird ich sie wir einen einer zum zur werden nach",
    "French": "le la les des et est une un dans que qui pour pas sur au avec ce il elle sont nous vous par "
    "plus ne cette ses aux ont mais je du être comme",
    "Spanish": "el la los las de que y en un una es por con para no se su al lo como más pero sus le ya este "
    "sí porque esta entre cuando muy sin sobre también del son",
    "Italian": "il lo la gli di che è e un una per non con del della sono nel alla si dei delle al da come "
    "anche più ma questo questa nella i ha",
    "Portuguese": "o a os as de que e em um uma é não para com por do da dos das no na se mais como ao pelo "
    "também seu sua são mas foi ou",
    "Dutch": "de het een en van is niet dat op te zijn voor met die in er aan ook als bij maar om wordt naar "
    "hij ik je we deze heeft door",
}
_LANGUAGES = tuple(_SMALL_WORDS)
_SCRIPT_NAMES = {
    "Cyrillic": "Cyrillic script",
    "Greek": "Greek",
    "Arabic": "Arabic script",
    "Hebrew": "Hebrew script",
    "Devanagari": "Devanagari script",
    "Thai": "Thai",
    "Han": "Han script",
    "Kana": "Japanese",
    "Hangul": "Korean",
}
CLASSES = (*_LANGUAGES, *_SCRIPT_NAMES.values(), UNKNOWN)
_OTHER_SCRIPTS = sum(bit for name, bit in SCRIPT_BITS.items() if name != "Latin")
_LEAST_HITS = 3
_LEAST_SHARE = 0.1
_TABLE_BITS = np.uint64(64 - 16)
_KANA_SHARE = 0.1


@cache
def _profiles() -> tuple[Numbers, npt.NDArray[np.uint16], npt.NDArray[np.float64]]:
    """Hashes of small words; where a word with certain first bits is among them; languages by word."""
    words = sorted({word for text in _SMALL_WORDS.values() for word in text.split()})
    hashes = TextBatch(words).words
    table = np.zeros(1 << 16, np.uint16)
    for number, start in enumerate((hashes >> _TABLE_BITS).tolist()):
        table[start] = number
    spoken = np.array(
        [[word in text.split() for text in _SMALL_WORDS.values()] for word in words], np.float64
    )
    return hashes, table, spoken


def classes(batch: TextBatch, texts_per_row: int) -> npt.NDArray[np.int64]:
    """For every row, so many texts of the batch, its place in `CLASSES`."""
    bounds = batch.word_bounds[::texts_per_row]
    counts = np.diff(bounds)
    known, table, spoken = _profiles()
    found = table[batch.words >> _TABLE_BITS]
    small = np.flatnonzero(known[found] == batch.words)
    rows = np.searchsorted(bounds, small, side="right") - 1
    by_language = spoken[found[small]]
    hits = np.stack(
        [np.bincount(rows, by_language[:, place], len(counts)) for place in range(len(_LANGUAGES))], axis=1
    )
    ordered = np.sort(hits, axis=1)
    best, second = ordered[:, -1], ordered[:, -2]
    sure = (best >= _LEAST_HITS) & (best > second) & (best >= _LEAST_SHARE * counts)
    result = np.where(sure, np.argmax(hits, axis=1), CLASSES.index(UNKNOWN))
    seen = np.bitwise_or.reduceat(batch.seen, np.arange(0, len(batch.seen), texts_per_row))
    for row in np.flatnonzero(seen & _OTHER_SCRIPTS).tolist():
        result[row] = _of_scripts(batch, row * texts_per_row, texts_per_row, int(result[row]))
    return result


def _of_scripts(batch: TextBatch, first: int, texts: int, otherwise: int) -> int:
    """The class of a row with letters that are not Latin."""
    counts: dict[str, int] = {}
    for text in range(first, first + texts):
        for name, count in batch.script_counts(text).items():
            counts[name] = counts.get(name, 0) + count
    japanese = counts.get("Kana", 0)
    if japanese and japanese >= _KANA_SHARE * (japanese + counts.get("Han", 0)):
        counts["Kana"] = japanese + counts.pop("Han", 0)
    total = sum(counts.values())
    script = max(counts, key=lambda name: counts[name])
    if script == "Latin" or 2 * counts[script] <= total:
        return otherwise
    return CLASSES.index(_SCRIPT_NAMES[script])
