"""Words of many languages around the numbers of citation marks, as patterns separated by white space."""

from __future__ import annotations


def any_of(words: str) -> str:
    """Return a pattern of words that are separated by white space."""
    return "|".join(words.split())


LABELS = """
passages? sources? documents? docs? references? refs? citations? cites? cit excerpts? snippets? chunks? evidence quotes?
results? contexts? quellen? passagen dokumente? textstellen? textpassagen? belege? fundstellen? ausz[uü]ge?
referenz(?:en)? extraits? références? fuentes? pasajes? documentos? fragmentos? referencias? extractos? citas?
fonte fontes fonti passaggio passaggi documenti brano brani riferimento riferimenti citazione citazioni
passagem passagens trechos? referências? citação bron(?:nen)? documenten fragment(?:en|y)? źródł[oa] dokumenty
kaynak(?:lar)? belge pasaj källa källor nguồn sumber dokumen zdroj(?:e)? πηγή מקור
источник(?:и|а)? документ(?:ы|а)? отрыв(?:ок|ки) фрагмент(?:ы|а)? пассаж ссылк[аи] цитат[аы] джерел[оа]
来源 來源 资料 資料 文档 文檔 文件 段落 片段 参考 參考 引用 文献 出处 出處 出典 文書 参照 パッセージ ソース
출처 문서 단락 구절 자료 참고 인용
المصدر مصدر المرجع مرجع المقطع مقطع الوثيقة وثيقة المستند مستند
स्रोत दस्तावेज़ दस्तावेज अंश संदर्भ गद्यांश उद्धरण
"""
"""Names of a passage, before its number."""

SEE = r"see cf\.? siehe vgl\.? voir véase ver vedi см\.? 参见 參見 见 参照"
"""Words for "see", before the name or number of a passage."""

CONJUNCTIONS = "and und et y e i o or en och og ve và dan и і или або oder ou και और"
"""Words between two numbers, with a space on either side."""

ATTACHED = "&＆和与與及跟と및와과وـ"
"""Characters between two numbers, with or without spaces."""

RANGE_WORDS = "to through thru bis à do до tot"
"""Words between the ends of a range."""

PAGE_LABELS = "pp? pages? seiten? s стр с págs? pag"
"""Words before the page in a passage."""

CODE_WORDS = frozenset(
    word
    for line in (
        "arr arrs array arrays vec vector matrix mat tensor tuple dict lst buf buffer tmp args argv kwargs params",
        "props ptr ptrs str df idx res ret nums vals elems cols dp memo obj objs src dst char int float double bool",
        "byte uint foo bar baz qux xs ys zs sys fn ARGV ARGS",
    )
    for word in line.split()
)
"""Words before a bracket that make it an index."""

FILE_ENDINGS = frozenset(
    ending
    for line in (
        "txt pdf md rst docx doc docm pptx ppt xlsx xls csv json xml html htm py js ts rs go com org net edu gov",
        "de eu fr uk es it nl pl ru jp cn kr ch at io ai dev app info yaml yml toml ini cfg log sql sh css tsx jsx",
        "java cpp php rb tex rtf odt ods odp epub eml msg zip png jpg jpeg gif svg mp3 mp4",
    )
    for ending in line.split()
)
"""Ends of the names of files and sites, which are no names in code."""

NAMED_BY_A_LETTER = frozenset(
    word
    for line in (
        "vitamin vitamins hepatitis influenza plan group type class section part appendix schedule annex exhibit",
        "option grade category phase stage zone figure table model series team gruppe typ klasse anhang teil",
        "abschnitt groupe annexe grupo tipo clase anexo gruppo allegato",
    )
    for word in line.split()
)
"""Words before a letter that is a name of something, as in "vitamin C"."""

NAMES_WITH_DIGITS = frozenset(
    ("mp3", "mp4", "h264", "h265", "utf8", "sha256", "base64", "x86", "x64", "md5", "i18n", "k8s")
)
"""Names in small letters that look like variables."""

SENTENCE_STARTS = frozenset(
    ("Let", "If", "Set", "The", "For", "When", "Where", "Then", "And", "Here", "Given", "With", "In", "Of", "So", "But")
)
"""Words with a capital letter that are no names."""

VECTOR_NOUNS = """
vectors? intervals? arrays? matrix matrices tuples? vektor(?:en)? intervall matrize tupel vecteurs? intervalle tableau
intervalo vettore intervallo вектор интервал массив coordinates koordinaten coordonnées coordenadas
"""
"""Words before numbers that are coordinates or bounds."""
NAMED_VECTORS = "points? punkte? nodes? vertex punto punkt"
"""Words before the letter of a name and coordinates, as in "the point P [3, 4]"."""
VECTOR_NOUNS_ATTACHED = "向量 区间 數組 数组 配列 区間 ベクトル"
"""Such words of languages without spaces."""
