"""Texts that the contract of normalisers is checked on: every script, what is known to be nasty, and random ones."""

from __future__ import annotations

import random
from functools import cache

PLAIN = {
    "Latin": "The quick brown fox",
    "Latin with marks": "Größe façade naïve señor",
    "Turkish": "ışık İzmir ğöç",
    "Vietnamese": "Tiếng Việt",
    "Greek": "Καλημέρα κόσμε",
    "Cyrillic": "Доброе утро, ёлка",
    "Armenian": "Բարեւ ձեզ",
    "Georgian": "გამარჯობა",
    "Hebrew": "שלום עולם",
    "Arabic": "مرحبا بالعالم",
    "Urdu": "یہ اردو ہے",
    "Persian": "می‌خواهم",
    "Devanagari": "हमने उस उम्मीदवार को चुना",
    "Bengali": "আমি বাংলায় কথা বলি",
    "Gurmukhi": "ਮੈਂ ਪੰਜਾਬੀ ਬੋਲਦਾ ਹਾਂ",
    "Gujarati": "હું ગુજરાતી બોલું છું",
    "Odia": "ମୁଁ ଓଡ଼ିଆ କହେ",
    "Tamil": "நான் தமிழ் பேசுகிறேன்",
    "Telugu": "నేను తెలుగు మాట్లాడతాను",
    "Kannada": "ನಾನು ಕನ್ನಡ ಮಾತನಾಡುತ್ತೇನೆ",
    "Malayalam": "ഞാൻ മലയാളം സംസാരിക്കുന്നു",
    "Sinhala": "මම සිංහල කතා කරනවා",
    "Thai": "ผมพูดภาษาไทย",
    "Lao": "ຂ້ອຍເວົ້າພາສາລາວ",
    "Khmer": "ខ្ញុំនិយាយភាសាខ្មែរ",
    "Burmese": "ကျွန်တော် မြန်မာစကား ပြောတယ်",
    "Tibetan": "བོད་སྐད་",
    "Ethiopic": "ሰላም ዓለም",
    "Han": "我们说中文",
    "Kana": "ひらがなとカタカナ",
    "Hangul": "한국어를 말합니다",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "Cherokee": "ᏣᎳᎩ",
    "Digits": "1234 56",
}
"""Plain words by script, of which a normaliser must leave something."""

NASTY = (
    "", " ", "\n\t\u00a0\u3000", "\0", "\ud800", "\udfff\ud800", "a\ud83d", "\U0010ffff", "\u0378\u0379", "\ue000",
    "\u0301", "e\u0301\u0301", "\u0301e", "i\u0307\u0323", "\u1100\u1161\u11a8", "\u212b\u212a\u2126", "ﬃ ﬁn", "ŉ",
    "ǆ Ǆ",
    "İ I ı i i\u0307 I\u0307", "ΟΔΟΣ ΑΣ'Α Σ", "ẞ ß SS", "\u0345\u1fbc\u1fb3", "½ ² ⅳ ⑴ ㎏ ﷺ",
    "Ｆｕｌｌ　ｗｉｄｔｈ１２",
    "3.14 .5 5. 1,000.5 1.000,5 1,00,000 1,2,3 1.2.3 1'000 10 000 1\u202f000", "१,००,००० ٣٫١٤ ١٬٠٠٠ ๑๒๓ ۱۲",
    "31.12.2024 10:30 10.30 1/2 2024-12-31 +91-98765 50% $5 ₹500 5€ £1.50 -5 \u22125 20°C", "1" * 5000 + ".", "0.0.0.0",
    "https://user@example.com:80/a_b?c=d&e=f#g a.b@c.de @name #tag", "U.S.A. u.s. p.m. e.g. J. S. Bach z. B. z.B.",
    "don't ‘quoted’ l'homme d’œuvre rock 'n' roll '90s dogs' a''b ʼa aʼ'b ʼʼ O\u02bcNeil ´` don`t", "İstanbul'da 10'da",
    "\U0001f469\u200d\U0001f4bb \U0001f44d\U0001f3fd 1\ufe0f\u20e3 \U0001f1ee\U0001f1f3 \u2603\ufe0f ☃",
    "\u20e3\u0301 \ufe0f",
    "\u200fשלום\u200e (hello) \u202bمرحبا\u202c \u2066x\u2069", "צה״ל ג׳ירפה", "Ինչպե՞ս", "क्‍ष क्‌ष कि\u200c",
    "ए.पी.जे. है।वह अत: १०:३०",
    "पढ\u093cना पढ़ना फ़\u093c ़ा \u094d\u094d ंँः अा", "\u0f0b\u17d4\u104a\u1362", "။၏ ၌", "กรุงเทพฯ ๆ", "々〆ー・「」。、",
    "〇一二三",
    "<tag> [noise] (aside) <unclosed [x (y", "((a) b) [c<d>e]", "a\u00adb a\u200bb \ufeffa", "a-b a—b a_b a·b l·l",
    "¿Qué? ¡Sí! «oui»",
    "twenty one hundred and one and a half percent", "\x1c\x1d\x85\u2028", "a\u0300\u0316b \u0316\u0300",
    "≮ ≢ <\u0338 =\u0338",
)  # fmt: skip
"""Texts at which normalisers are known to stumble."""

LONG = {
    "sentences": "Well, 1,000 words—don't (you) say: हमने उस उम्मीदवार को चुना। هذا 3.14 ठीक है? ",
    "letters": "a",
    "digits": "1",
    "dots": ".",
    "digits and stops": "1.",
    "digits and commas": "1,",
    "groups": "000,",
    "groups by stops": "000.",
    "groups by spaces": "000 ",
    "initials": "a.",
    "apostrophes": "'",
    "letters and apostrophes": "a'",
    "combining marks": "\u0301\u0316",
    "vowel signs": "\u093e\u093c",
    "viramas": "क्",
    "aksharas and stops": "कि.",
    "colons": "क:",
    "spaces": " ",
    "openings": "([<",
    "closed": "(a) [b] ",
    "symbols": "%$",
    "joiners": "क\u200d",
    "emoji": "\U0001f469\u200d\U0001f4bb",
    "Han": "我们说中文",
    "Thai": "ผมพูดภาษาไทย",
    "jamo": "\u1100\u1161\u11a8",
    "half surrogates": "\ud800",
}
"""Units of long texts, by kind, that make careless regular expressions take the square of their length."""

_PIECES = (
    *"abIİıßéñœæΣσКйאبहकिी़्ंःँয়தมก你한0123456789१٣", *".,:;'’`´-–—()[]<>%&+$€₹°!?¿।॥、。·_/\\\"",
    *" \t\n\u00a0\u202f\u3000\u200c\u200d\u200e\u00ad\ufe0f\u20e3\u0301\u0307\u0327\u0345\u093c\u094d",
    *"\u02bc\u05f4\u066b\u066c",
    "000", "1.", ".5", "ﬁ", "ǅ", "\u212a", "\ud800", "\U0001f469", "⑴", "（", "\uff0e", "\uff11", "है", "z b",
)  # fmt: skip
_RANDOM = 1000


@cache
def pool() -> tuple[str, ...]:
    """Return the texts: plain, nasty, and random ones from a fixed seed, of nasty pieces and of any code points."""
    chance = random.Random(20)
    made = []
    for _ in range(_RANDOM):
        size = chance.randint(1, 14)
        wild = chance.random() < 0.3
        made.append(
            "".join(
                chr(chance.randrange(0x110000)) if wild and chance.random() < 0.6 else chance.choice(_PIECES)
                for _ in range(size)
            )
        )
    return (*PLAIN.values(), *NASTY, *made)
