from __future__ import annotations

import pytest

from app.domain.outline_questions import names_document, outline_subject

WHOLE = {
    "en": (
        "Can I get a summary?",
        "In one sentence, what is this document about?",
        "What kind of document is this?",
        "Summarize everything I uploaded",
        "Can you explain what this document is about?",
        "What is this document about?",
        "what's the report about",
        "What are these documents about?",
        "Summarise the manual",
        "Please summarize.",
        "Can you please summarise this for me?",
        "Summarize it in three sentences.",
        "Give me a short summary of the attached file",
        "TL;DR",
        "tl;dr of this paper please",
        "list all chapters",
        "Which documents are there?",
        "What files do I have?",
        "How many documents have I uploaded?",
        "Show me the table of contents",
        "Give me an overview",
        "What does the paper cover?",
        "What are the main points of the document?",
        "What is in the file?",
        "Summary",
        "Write a one-paragraph summary of everything",
        "I'd like a brief overview of the two reports.",
        "Summarise the document I uploaded",
        "What topics do these files cover?",
    ),
    "de": (
        "Worum handelt es sich bei diesem Dokument?",
        "Fasse den Inhalt zusammen",
        "Was ist das für ein Dokument?",
        "Worum geht's hier?",
        "Worum geht es in dem Dokument?",
        "Worum geht es hier?",
        "Fasse das Dokument zusammen.",
        "Kannst du das bitte zusammenfassen?",
        "Fass mir den Text kurz zusammen",
        "Gib mir eine kurze Zusammenfassung des Berichts",
        "Wovon handelt dieses Buch?",
        "Was steht in der Datei?",
        "Welche Dokumente gibt es?",
        "Inhaltsverzeichnis",
    ),
    "fr": (
        "C'est quoi ce document ?",
        "Donne-moi les points clés",
        "De quoi ça parle ?",
        "De quoi s'agit-il ?",
        "Résume ce document",
        "Resume ce document.",
        "Peux-tu résumer le texte ?",
        "De quoi parle ce document ?",
        "Fais-moi un résumé du rapport, s'il te plaît",
        "Que contient ce fichier ?",
        "Quels sont les points clés du document ?",
        "Quels documents ai-je ?",
    ),
    "es": (
        "¿Me puedes resumir este documento?",
        "Explícame de qué trata este documento",
        "Dame los puntos principales",
        "Resume este documento",
        "¿De qué trata este documento?",
        "Hazme un resumen del informe, por favor",
        "¿Qué dice el archivo?",
        "¿Cuáles son los puntos principales del documento?",
        "¿Puedes resumir esto?",
        "¿Qué documentos tengo?",
    ),
    "it": ("Riassumi il documento", "Di cosa parla questo file?", "Fammi un riassunto del testo, per favore"),
    "pt": (
        "Me fale sobre este documento",
        "Resuma este documento",
        "Do que trata este documento?",
        "Faça um resumo do arquivo, por favor",
        "O que diz o documento?",
        "Sobre o que é este texto?",
        "Quais documentos eu tenho?",
    ),
    "nl": ("Vat het document samen", "Waar gaat dit document over?", "Geef een korte samenvatting van de tekst"),
    "ru": (
        "Каково основное содержание документа?",
        "Что это за документ?",
        "Резюмируй документ в трёх предложениях",
        "Расскажи кратко, о чём этот документ",
        "О чём этот документ?",
        "О чем этот текст?",
        "О чём говорится в этом документе?",
        "Кратко перескажи документ",
        "Резюмируй этот файл, пожалуйста",
        "Сделай краткое содержание документа",
        "Что содержится в файле?",
        "Какие документы есть?",
    ),
    "zh": (
        "这是什么文件？",
        "這份文件在說什麼？",
        "总结一下这个文档",
        "请总结这份文件。",
        "这个文档讲了什么？",
        "这篇文章的主要内容是什么？",
        "概括全文",
        "这份文件是关于什么的？",
        "請總結這份文件",
        "有哪些文档？",
    ),
    "ja": (
        "この文書は何ですか？",
        "要点を教えてください",
        "この文書を要約してください。",
        "この文書は何について書かれていますか？",
        "このファイルの内容は何ですか？",
        "これを要約して",
        "要約してください",
        "この資料の概要を教えてください",
        "どんな文書がありますか？",
    ),
    "ko": (
        "핵심 내용을 정리해 줘",
        "이 문서를 요약해 주세요.",
        "이 문서는 무엇에 관한 것인가요?",
        "이 파일의 내용을 요약해줘",
        "요약해줘",
        "이 문서의 주제는 무엇인가요?",
        "어떤 문서가 있나요?",
        "이 보고서는 어떤 내용을 다루고 있나요?",
        "세 문장으로 요약해 줘",
        "이 파일 내용이 뭐야?",
        "이게 무슨 문서야?",
    ),
    "ar": (
        "ما الذي يتحدث عنه هذا المستند؟",
        "لخص المستند في ثلاث جمل",
        "لخص هذا المستند",
        "ما موضوع هذه الوثيقة؟",
        "عن ماذا يتحدث هذا الملف؟",
        "لخّص النص من فضلك",
        "ماذا يوجد في الملف؟",
        "أعطني ملخصا للمستند",
    ),
    "hi": (
        "इस दस्तावेज़ को संक्षेप में समझाओ",
        "क्या आप इस दस्तावेज़ का सारांश दे सकते हैं?",
        "इस दस्तावेज़ का सारांश दें",
        "यह दस्तावेज़ किस बारे में है?",
        "इस फ़ाइल में क्या है?",
        "कृपया इस दस्तावेज का सारांश बताइए।",
        "इसका संक्षेप में सारांश लिखें",
    ),
}
ORDINARY = """
How long is the notice period?
What is a document?
Who wrote the report in 1999?
Which documents do I need to open an account?
Which documents have to be signed by both parties?
What documents are required for a visa?
What documents should I bring to the interview?
How many documents can I upload per day?
Where are the documents stored?
Who may see my documents?
Are documents encrypted at rest?
How do I delete documents?
How are documents split into chunks?
Which document replaced the 2019 policy?
What does the document say about refunds?
What does the report say about emissions in 2020?
What do the documents say about parental leave?
According to the document, who is liable?
Does the document mention a deposit?
In which document is the warranty described?
Can I send documents by fax?
When were the documents translated?
Which files does the build write?
What files are deleted by the uninstaller?
List the files that the installer creates
Show me the files changed in version 2
How large may files be?
Which files are ignored by default?
Where does the program keep its files?
What is in the configuration file?
How do I open a file in read-only mode?
What file format does the scanner use?
How many files can be open at once?
Do log files contain passwords?
Why are files locked during a backup?
What happens to files after 30 days?
How do I resume an interrupted upload?
How can I resume a download?
Does the stream resume after a reconnect?
When will flights to Oslo resume?
What does the resume command do?
What skills does Anna's resume list?
Where did the applicant work according to his resume?
Which universities are in the resume?
Resume the service after maintenance: which command?
Can a paused subscription be resumed?
How do I resume printing after a paper jam?
When does play resume after a rain delay?
What does the resume say about languages?
Which jobs in the resume lasted less than a year?
What is the summary of charges on page 3?
Where do I find the summary of benefits?
Who signs the summary report?
What does the executive summary say about revenue?
How long may a summary of the invention be?
Give me a summary of the refund policy
Is a summary judgment appealable?
What is a summary offence?
Summarise the changes in chapter 4
Summarise how deposits are returned
Summarize the differences between plan A and plan B
Give me an overview of the fees for international transfers
Summarize what the landlord has to repair
In summary, is the tenant liable for the boiler?
What summary statistics does the tool print?
Which summary table lists operating costs?
When did the proceedings begin?
Who pays for the proceedings?
Which court heard the proceedings against Globex?
In which proceedings was the paper published?
Are the proceedings public?
How long did the insolvency proceedings last?
What triggers disciplinary proceedings?
Who opened the proceedings in 2018?
Can proceedings be held by video?
What do legal proceedings cost on average?
List all fees
List the ingredients of the soup
List the members of the board
What is on the packing list?
How do I join the mailing list?
Who is on the list of suppliers?
How is a linked list reversed?
What does the list command print?
Is there a waiting list for the kindergarten?
Name all chapters of the union in Ohio
Show me a list of holidays in 2026
How do I sort a list in Python?
Which price list is valid in May?
List three side effects of the drug
What is the list price of the KX-100?
What is the overview screen for?
How do I print the table of contents of a manual in Word?
What topics did the committee discuss in June?
Which chapters were added in the second edition?
How many sections does the fence have?
What is the contract number?
When does the contract end?
What is the report's deadline?
What are the main points of sale in Berlin?
What is the purpose of the deposit?
Tell me about the warranty
Welche Dokumente brauche ich für den Antrag?
Was steht in dem Vertrag über die Kündigung?
Wie lange ist die Kündigungsfrist?
Wer fasst die Ergebnisse der Sitzung zusammen?
Quels documents faut-il fournir ?
Que dit le document sur les congés ?
¿Qué documentos necesito para el visado?
¿Qué dice el contrato sobre la fianza?
Quali documenti servono per il rimborso?
Quais documentos são necessários?
Какие документы нужны для визы?
Что говорится в договоре о залоге?
申请签证需要哪些文件？
合同里关于押金写了什么？
ビザの申請にはどの書類が必要ですか？
契約書には敷金について何と書かれていますか？
비자 신청에 어떤 문서가 필요한가요?
보고서는 어떤 형식으로 제출하나요?
이 문서는 무슨 언어로 쓰여 있나요?
이 계약서는 어떤 회사가 작성했나요?
이 책은 무엇을 말하는 사람이 썼나요?
이 자료는 무엇에 대해 세금을 내나요?
Was ist im Preis enthalten?
Was ist das für ein Geräusch?
产品的主要成分是什么？
Can I get a refund?
Quel type de contrat est-ce ?
会議のテーマは何ですか？
Что это за штраф?
ما هي المستندات المطلوبة للتأشيرة؟
वीज़ा के लिए कौन से दस्तावेज़ चाहिए?
""".strip().splitlines()


@pytest.mark.parametrize("language", WHOLE)
def test_whole_documents(language: str) -> None:
    """A question about documents as a whole is recognised in each language."""
    assert [each for each in WHOLE[language] if outline_subject(each) != ""] == []


def test_ordinary_questions() -> None:
    """None of many questions for facts is taken for one about a document, unless a document has its subject's name."""
    assert len(ORDINARY) > 100
    assert [each for each in ORDINARY if outline_subject(each) == ""] == []
    names = ("lease.pdf", "annual report 2024.docx", "policy.md", "Tarife.txt")
    found = ((each, outline_subject(each)) for each in ORDINARY)
    assert [each for each, subject in found if subject and any(names_document(subject, name) for name in names)] == []


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Summarise lease.pdf", "lease.pdf"),
        ("Summarise Lease please", "lease.pdf"),
        ("What is the annual report 2024 about?", "Annual-Report_2024.docx"),
        ("What does “tax notes” cover?", "tax notes.md"),
        ("Fasse Mietvertrag.pdf zusammen", "Mietvertrag.pdf"),
        ("Résume le bail", "bail.pdf"),
        ("总结租约.pdf", "租约.pdf"),
        ("О чём договор-2024?", "Договор-2024.pdf"),
    ],
)
def test_named_document(question: str, name: str) -> None:
    """A question about a document by its name wants the outline of that document alone."""
    subject = outline_subject(question)
    assert subject
    assert names_document(subject, name)
    assert not names_document(subject, "other.pdf")


def test_long_message() -> None:
    """A pasted page is no request for an outline, however it begins."""
    assert outline_subject("Summarise this: " + "words " * 1_000) is None
