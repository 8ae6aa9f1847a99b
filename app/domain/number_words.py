"""Numbers as words: evidence may spell a number that a question has in digits, and the other way round."""

from __future__ import annotations

VALUES = (*range(21), *range(30, 100, 10), 100, 1_000)
"""The values of the words of each language, in their order; `/` separates several words for one value."""
WORDS = {
    "en": (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
        "hundred thousand"
    ),
    "de": (
        "null eins/ein/eine zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
        "fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig "
        "achtzig neunzig hundert tausend"
    ),
    "fr": (
        "zéro un/une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
        "seize dix-sept dix-huit dix-neuf vingt trente quarante cinquante soixante soixante-dix "
        "quatre-vingt quatre-vingt-dix cent mille"
    ),
    "es": (
        "cero uno/un/una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciséis diecisiete dieciocho diecinueve veinte treinta cuarenta cincuenta sesenta setenta "
        "ochenta noventa cien/ciento mil"
    ),
    "it": (
        "zero uno/un/una due tre quattro cinque sei sette otto nove dieci undici dodici tredici "
        "quattordici quindici sedici diciassette diciotto diciannove venti trenta quaranta cinquanta "
        "sessanta settanta ottanta novanta cento mille/mila"
    ),
    "pt": (
        "zero um/uma dois/duas três quatro cinco seis sete oito nove dez onze doze treze "
        "catorze/quatorze quinze dezesseis/dezasseis dezessete/dezassete dezoito dezenove/dezanove vinte "
        "trinta quarenta cinquenta sessenta setenta oitenta noventa cem/cento mil"
    ),
    "nl": (
        "nul een/één twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien "
        "zestien zeventien achttien negentien twintig dertig veertig vijftig zestig zeventig tachtig "
        "negentig honderd duizend"
    ),
    "ru": (
        "ноль один/одна/одно/одного два/две/двух три/трёх/трех/трём четыре/четырёх/четырех пять/пяти "
        "шесть/шести семь/семи восемь/восьми девять/девяти десять/десяти одиннадцать/одиннадцати "
        "двенадцать/двенадцати тринадцать/тринадцати четырнадцать/четырнадцати пятнадцать/пятнадцати "
        "шестнадцать/шестнадцати семнадцать/семнадцати восемнадцать/восемнадцати "
        "девятнадцать/девятнадцати двадцать/двадцати тридцать/тридцати сорок/сорока пятьдесят/пятидесяти "
        "шестьдесят/шестидесяти семьдесят/семидесяти восемьдесят/восьмидесяти девяносто/девяноста "
        "сто/ста тысяча/тысячи/тысяч"
    ),
    "ar": (
        "صفر واحد/واحدة اثنان/اثنين/اثنتان/اثنتين ثلاثة/ثلاث أربعة/أربع خمسة/خمس ستة/ست سبعة/سبع "
        "ثمانية/ثماني/ثمان تسعة/تسع عشرة/عشر - - - - - - - - - عشرون/عشرين ثلاثون/ثلاثين أربعون/أربعين "
        "خمسون/خمسين ستون/ستين سبعون/سبعين ثمانون/ثمانين تسعون/تسعين مئة/مائة ألف/آلاف"
    ),
    "hi": (
        "शून्य एक दो तीन चार पाँच/पांच छह/छः सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह "
        "उन्नीस बीस तीस चालीस पचास साठ सत्तर अस्सी नब्बे सौ हज़ार/हजार"
    ),
    "ko": (
        "영 하나/한/일 둘/두/이 셋/세/삼 넷/네/사 다섯/오 여섯/육 일곱/칠 여덟/팔 아홉/구 열/십 - - - - "
        "- - - - - 스물/이십 서른/삼십 마흔/사십 쉰/오십 예순/육십 일흔/칠십 여든/팔십 아흔/구십 백 천"
    ),
}
ORDINALS = {
    2: ("second", "deuxiem", "segund", "втор"),
    3: ("third", "dritt", "troisiem", "tercer", "terceir", "terz", "трет"),
    4: ("fourth", "quatriem", "cuart", "quart", "четверт"),
    5: ("fifth", "cinquiem", "quint", "пят"),
    6: ("sixth", "sixiem", "sext", "sest", "шест"),
    7: ("seventh", "siebt", "septiem", "septim", "setim", "settim", "седьм"),
    8: ("eighth", "huitiem", "octav", "oitav", "ottav", "восьм"),
    9: ("ninth", "neuviem", "noven", "девят"),
    10: ("tenth", "dixiem", "decim", "десят"),
    12: ("twelfth", "douziem"),
}
"""The beginnings of ordinal numbers whose words do not begin with that of the number; folded."""
HAN_DIGITS = {
    "〇": 0,
    "零": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
HAN_UNITS = {"十": 10, "百": 100, "千": 1_000}


def han_value(numeral: str) -> int:
    """Return the value of a Chinese numeral below ten thousand, by digits (五〇二) or by units (二十三)."""
    if not any(each in HAN_UNITS for each in numeral):
        return int("".join(str(HAN_DIGITS[each]) for each in numeral))
    total, digit = 0, 0
    for each in numeral:
        if each in HAN_DIGITS:
            digit = HAN_DIGITS[each]
        else:
            total += max(digit, 1) * HAN_UNITS[each]
            digit = 0
    return total + digit
