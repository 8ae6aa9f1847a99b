"""Questions about documents as a whole, as regular expressions by language; see `app.domain.outline_questions`.

A template covers a whole message in lower case; `{it}` stands for the documents. Accents and vowel signs do not count.
"""

from __future__ import annotations

from typing import NamedTuple


class Language(NamedTuple):
    """A language's words for documents, and the templates of its questions about them."""

    documents: str
    templates: tuple[str, ...]


COURTESIES = (
    "please|can you please|can you|could you please|could you|would you please|would you|will you|kindly|i want you "
    "to|i would like you to|i'd like you to|i would like|i'd like|i want|i need|can i get|can i have|could i get|"
    "could i have|may i have|let me have|let me see|hi|hello|hey|"
    "ok|so|just|now|quickly|briefly|in short|in brief|for me|for us|thanks|thank you|bitte|kannst du mir|kannst du|"
    "können sie mir|können sie|könntest du|könnten sie|kurz|ich möchte|ich brauche|mal|danke|s'il te plaît|s'il "
    "vous plaît|peux-tu me|peux-tu|pouvez-vous me|pouvez-vous|pourrais-tu|pourriez-vous|je voudrais|j'aimerais|"
    "brièvement|merci|por favor|me puedes|me podrías|puedes|podrías|puede|quiero|"
    "necesito|brevemente|gracias|per favore|per piacere|puoi|"
    "potresti|può|vorrei|grazie|você pode|pode|poderia|quero|preciso de|obrigado|obrigada|alsjeblieft|alstublieft|"
    "kun je me|kun je|kunt u|ik wil|graag|пожалуйста|можешь ли ты|можешь|можете|мне нужно|мне нужен|مرحبا|من فضلك|"
    "لو سمحت|هل يمكنك أن|هل يمكنك|رجاء|أريد|कृपया|क्या आप|क्या तुम|请你|请帮我|請幫我|帮我|幫我|麻烦你|请|請|谢谢|謝謝|"
    "ください"
)
"""Polite words around a request, separated by `|`."""

HOW_LONG = (
    r"(?:,? (?:briefly|shortly|quickly|concisely|as (?:a list|bullet points|bullets)|in (?:a|an|one|two|three|four|"
    r"five|a few|a couple of|\d+|some|plain|simple|short|your own|no more than \d+)? ?(?:short |simple |brief "
    r")?(?:words?|sentences?|lines?|paragraphs?|bullet points?|bullets|terms|detail|english|german|french|"
    r"spanish)))*"
)
NOUNS = (
    "(?:documents?|documentation|files?|texts?|papers?|reports?|books?|pdfs?|manuals?|uploads?|articles?|guides?|"
    "handbooks?|slides?|presentations?|contracts?|letters?|notes?|transcripts?|contents?|attachments?|materials?|"
    "decks?|essays?|stor(?:y|ies))"
)

ENGLISH = Language(
    r"this|that|it|them|these|those|everything(?: (?:that )?(?:i|we)(?: have|'ve)? (?:uploaded|attached|sent))?|"
    r"all|all of (?:it|them|this)|(?:(?:all|both|each|any|every one) (?:of "
    r")?)?(?:the|this|that|these|those|my|our|your|all|both|each|every)(?: (?:whole|entire|full|complete|attached|"
    r"uploaded|above|following|given|new|latest|last|first|two|three|few|long|short|word|text|"
    rf"pdf))* {NOUNS}(?: (?:that )?(?:i|we)(?: have|'ve| just)? (?:uploaded|attached|sent|gave|given|shared)(?: "
    r"you| here)?)?|(?:documents|files)",
    (
        r"(?:summari[sz]e|sum up|outline|recap|condense|describe|explain|tl;?dr|digest|give (?:me |us )?the "
        rf"gist of)(?: {{it}})?(?: up)?{HOW_LONG}",
        rf"(?:(?:give|write|make|create|provide|show|get|generate|produce|prepare|draft)(?: me| us)? )?(?:an? |the )?"
        r"(?:(?:short|brief|quick|concise|general|high-level|high level|executive|full|good|one-paragraph|"
        r"rough) )*(?:summary|"
        r"summari[sz]ation|overview|outline|synopsis|abstract|recap|digest|gist|tl;?dr|table of contents|toc|"
        rf"main points|key points|key takeaways|takeaways|highlights)(?: (?:of|for|about|from|on) {{it}})?{HOW_LONG}",
        r"what(?: is|'s|s) (?:the |a )?(?:short |brief )?(?:summary|gist|main (?:idea|topic|point|message|subject|"
        r"theme)|(?:main )?(?:purpose|topic|subject|contents?|outline|essence|theme)|table of contents) of {it}",
        r"what are (?:the )?(?:main|key|central|most important|major) (?:points|topics|ideas|takeaways|messages|"
        r"findings|themes|subjects|contents)(?: (?:of|in|from) {it})?",
        r"(?:tell me )?what(?: is|'s|s| are|'re) {it} (?:all |mainly |mostly |generally )?about",
        rf"(?:in (?:a|one|two|three|a few) (?:nutshell|words?|sentences?),? )?"
        rf"what(?: is|'s| are) {{it}} about{HOW_LONG}",
        r"what(?:'s| is) {it} about,? in a nutshell",
        r"what (?:kind|sort|type) of (?:document|file|text|paper) is (?:this|it|that)",
        r"what information (?:is|can i find) in {it}",
        r"(?:tell me|explain|describe|say)(?: to me)? what {it} (?:is|are) (?:all |mainly )?about",
        r"what (?:does|do|did) {it} (?:mainly |mostly |generally )?(?:say|cover|contain|deal with|discuss|describe|"
        r"talk about|include|speak about|treat|state)",
        r"what(?: is|'s|s| are) (?:in|inside|the contents? of) {it}",
        r"what can (?:i|we) (?:find|read|learn) (?:in|from) {it}",
        r"(?:tell me|talk)(?: something| more)? about (?:the|this|these|my|our) (?:documents?|files?|pdfs?|papers?|"
        r"reports?)",
        r"(?:what|which|how many) (?:topics|subjects|themes|chapters|sections)(?: (?:are (?:there|covered))?(?: "
        r"?(?:in|by) {it})?| (?:does|do) {it} (?:cover|have|contain|discuss|deal with))",
        rf"(?:what|which|how many) {NOUNS} (?:are there|exist|(?:do|did|have) (?:i|we|you) (?:have|upload(?:ed)?|"
        r"got|know|see|add(?:ed)?)|can you see|are (?:available|uploaded|stored|here)|(?:have been|were) "
        r"(?:uploaded|added))",
        r"(?:list|name|enumerate|show)(?: me)? (?:all |every |each )?(?:of )?(?:the |my |our |your )?(?:documents?|"
        r"files?|uploads|chapters?|sections?|headings|topics)(?: (?:in|of) {it}|(?: that)? (?:i|we|you)(?: have|"
        r"'ve)?(?: uploaded)?)?",
    ),
)
GERMAN = Language(
    r"das|dies|dieses|es|alles|das alles|(?:(?:all )?(?:das|der|die|den|dem|des|diese[mnrs]?|dieses|meine[mnrs]?|"
    r"mein|unsere?[mnrs]?|alle[nr]?|deine[mnrs]?|beide[n]?)(?: (?:ganzen?|gesamten?|hochgeladenen?|angehängten?|"
    r"neuen?))? )?(?:dokument(?:e[ns]?|s)?|datei(?:en)?|text(?:e[ns]?|s)?|bericht(?:e[ns]?|s)?|buch(?:e?s)?|"
    r"bücher[n]?|pdfs?|handbuch(?:e?s)?|artikeln?s?|unterlagen|vertrag(?:e?s)?|präsentation|folien|aufsatz(?:es)?|"
    r"brief(?:e?s)?|skript(?:e?s)?)",
    (
        r"fass(?:e|en sie)?(?: mir)? {it}(?: mir)?(?: bitte)?(?: kurz| knapp| in .{{1,20}} (?:sätzen|worten|"
        r"stichpunkten))? zusammen",
        r"{it}(?: bitte)?(?: kurz| knapp)? zusammenfassen",
        r"(?:(?:gib|geben sie|erstelle?|erstellen sie|schreibe?|schreiben sie|mach|zeige?|zeigen sie)(?: mir| "
        r"uns)?(?: bitte)? )?(?:eine[nr]? |ein |das |die |den )?(?:kurze[nrs]? |knappe[nrs]? |grobe[nrs]? "
        r")?(?:zusammenfassung|überblick|übersicht|inhaltsverzeichnis|gliederung|inhaltsangabe|kurzfassung)(?: "
        r"(?:von|über|zu|aus|für)? ?{it})?(?: (?:geben|erstellen|schreiben))?",
        r"(?:worum geht(?:'| e)?s|um was geht es|wovon handelt es)(?: eigentlich| hier)?(?: (?:in|bei) {it})?",
        r"worum handelt es sich(?: hier)?(?: bei {it})?",
        r"was (?:ist|sind) (?:das|dies) für (?:ein |eine )?(?:dokumente?|datei(?:en)?|text|unterlagen|pdf)",
        r"fass(?:e|en sie)?(?: mir)? (?:den inhalt|die wichtigsten (?:punkte|aussagen|"
        r"inhalte))(?: (?:von )?{it})? zusammen",
        r"fass(?: es| das)?(?: mal| bitte| kurz)* zusammen",
        r"(?:erklär(?:e|en sie)?|sag(?:e|en sie)?)(?: mir)?(?: bitte| kurz)?,? (?:worum es (?:in|bei) {it} geht|"
        r"wovon {it} handelt)",
        r"(?:worüber|wovon|von was) (?:handelt|handeln|spricht|sprechen|berichtet) {it}",
        r"was (?:steht|ist)(?: alles)? in {it}(?: drin)?",
        r"was (?:sagt|sagen|enthält|enthalten|behandelt|behandeln|beschreibt|beschreiben) {it}(?: aus)?",
        r"was ist (?:der|das) (?:inhalt|thema|hauptthema|zweck) (?:von )?{it}",
        r"(?:was sind )?die (?:wichtigsten|zentralen|wesentlichen) (?:punkte|aussagen|themen|inhalte)(?: (?:in|von|"
        r"aus)? ?{it})?",
        r"(?:welche|wie viele) (?:dokumente|dateien|unterlagen|texte|kapitel|abschnitte|themen) (?:gibt es|habe "
        r"ich(?: hochgeladen)?|sind (?:da|vorhanden|hochgeladen)|liegen vor|hast du|kennst du|haben wir)(?: in "
        r"{it})?",
        r"(?:liste|zähle|nenne?|zeige?)(?: mir)? (?:bitte )?(?:alle |die |meine )?(?:dokumente|dateien|unterlagen|"
        r"kapitel|abschnitte|überschriften)(?: auf)?",
    ),
)
FRENCH = Language(
    r"ça|cela|ceci|tout|tout cela|le tout|(?:(?:tous |toutes )?(?:le |la |les |ce |cet |cette |ces |mon |ma |mes |"
    r"ton |votre |vos |notre |nos |l'|du |des |au |aux ))?(?:documents?|fichiers?|textes?|rapports?|livres?|pdfs?|"
    r"manuels?|articles?|contrats?|présentations?|lettres?)",
    (
        r"(?:(?:me |nous )?résum(?:e|es|ez|er))(?:[- ](?:moi|nous))?(?: {it}(?: ci-joint|"
        r" joint)?)?(?: en .{{1,20}} (?:phrases?|mots|"
        r"lignes|points))?",
        r"(?:(?:me |nous )?(?:fais|faites|faire|donne|donnez|donner|écris|écrivez|rédige|rédigez|montre|"
        r"montrez)(?:[- ](?:moi|nous))? )?(?:un |une |le |la )?(?:bref |brève |court |petit |rapide )?(?:résumé|"
        r"aperçu|synthèse|vue d'ensemble|table des matières|sommaire)(?: (?:de |pour )?{it})?",
        r"de quoi (?:parle|parlent|traite|traitent|s'agit-il dans|est-il question dans|il s'agit dans|ça parle "
        r"dans)(?:-t-il)? ?{it}",
        r"de quoi (?:ça|cela) (?:parle|traite)|de quoi s'agit-il|de quoi est-il question(?: ici)?",
        r"{it}(?:,)? (?:parle|parlent|traite) de quoi",
        r"(?:que|qu'est-ce que|qu'est ce que) (?:dit|disent|contient|contiennent|raconte|décrit) {it}",
        r"qu'est-ce que {it} (?:dit|contient|raconte)",
        r"(?:qu'y a-t-il|qu'est-ce qu'il y a) dans {it}",
        r"quel est le (?:sujet|contenu|thème|but)(?: principal)? (?:de )?{it}",
        r"(?:c'est quoi|qu'est-ce que c'est que|quel type de document est) (?:ce |cette )?(?:document|fichier|texte)",
        r"(?:quels sont |donnez?[- ](?:moi|nous) )?les (?:points|thèmes|idées|sujets) (?:principaux|principales|"
        r"clés|essentiels)(?: (?:de |"
        r"dans )?{it})?",
        r"(?:quels|combien de) (?:sont les )?(?:documents|fichiers) (?:ai-je|y a-t-il|sont disponibles|existent|"
        r"avez-vous|as-tu|ai-je téléversés)",
        r"(?:liste|listez|énumère|énumérez|montre|montrez)(?:[- ]moi)? (?:tous )?(?:les |mes )(?:documents|fichiers|"
        r"chapitres|sections)",
    ),
)
SPANISH = Language(
    r"esto|eso|todo|todo esto|lo|(?:(?:todos |todas )?(?:el |la |los |las |este |esta |estos |estas |ese |mi |mis |"
    r"tu |tus |nuestro |del |al ))?(?:documentos?|archivos?|ficheros?|textos?|informes?|libros?|pdfs?|manual(?:es)?|"
    r"artículos?|contratos?|presentaci[oó]n(?:es)?|carta)",
    (
        r"(?:resume|resuma|resumir|resúmeme|resumeme|resumen|resumirme|resúmelo|resumelo|sintetiza)(?: {it})?(?: en "
        r".{{1,20}} (?:frases?|palabras|líneas|puntos))?",
        r"(?:(?:haz|hazme|haga|hacer|hacerme|dame|dar|darme|escribe|escríbeme|crea|prepara|muéstrame) )?(?:un |una |"
        r"el |la )?(?:breve |pequeño |corto )?(?:resumen|sinopsis|síntesis|índice|esquema|visión general)(?: "
        r"(?:breve|corto))?(?: (?:de |sobre )?{it})?",
        r"(?:(?:explícame|dime|cuéntame) )?(?:de|sobre) qué (?:trata|tratan|habla|hablan|va|es|se trata|"
        r"se habla en)(?: {it})?",
        r"qué (?:dice|dicen|contiene|contienen|cuenta|describe) {it}",
        r"qué (?:hay|pone|se dice) en {it}",
        r"cuál es el (?:tema|contenido|resumen|índice|propósito)(?: principal)? (?:de )?{it}",
        r"(?:cuáles son |dame |dime |muéstrame |indícame )?(?:los|las) (?:puntos|temas|ideas) (?:principales|"
        r"clave|más importantes)(?: (?:de |en "
        r")?{it})?",
        r"(?:qué|cuántos) (?:documentos|archivos|ficheros) (?:tengo|hay|he subido|existen|tienes|están disponibles)",
        r"(?:lista|enumera|muestra|muéstrame) (?:todos )?(?:los |mis )(?:documentos|archivos|ficheros|capítulos|"
        r"apartados)",
    ),
)
ITALIAN = Language(
    r"questo|ciò|tutto|(?:(?:tutti )?(?:il |lo |la |i |gli |le |l'|questo |questa |questi |mio |il mio |i miei |del "
    r"|dello |della |dei |degli |nel ))?(?:documento|documenti|file|testo|testi|rapporto|relazione|libro|pdf|"
    r"manuale|articolo|contratto|presentazione)",
    (
        r"(?:riassumi|riassuma|riassumere|riassumimi|riassumermi|sintetizza)(?: {it})?(?: in .{{1,20}} (?:frasi?|"
        r"parole|righe|punti))?",
        r"(?:(?:fammi|fai|farmi|dammi|darmi|scrivi|crea|mostrami) )?(?:un |una |il |la )?(?:breve |piccolo "
        r")?(?:riassunto|sintesi|panoramica|indice|sommario)(?: (?:di )?{it})?",
        r"di (?:che )?cosa (?:parla|parlano|tratta|trattano|si tratta in|si parla in) ?{it}",
        r"(?:che )?cosa (?:dice|dicono|contiene|contengono|c'è in|c'è) {it}",
        r"qual è (?:l'argomento|il contenuto|il tema|lo scopo)(?: principale)? (?:di )?{it}",
        r"(?:quali sono )?i (?:punti|temi) (?:principali|chiave)(?: (?:di )?{it})?",
        r"(?:quali|quanti) (?:documenti|file) (?:ho|ci sono|ho caricato|hai)",
        r"(?:elenca|mostra|mostrami) (?:tutti )?(?:i |i miei )(?:documenti|file|capitoli)",
    ),
)
PORTUGUESE = Language(
    r"isto|isso|tudo|(?:(?:todos )?(?:o |a |os |as |este |esta |estes |esse |essa |meu |meus |o meu |os meus |do |"
    r"da |dos |deste |desse |desta |neste |nesse |no ))?(?:documentos?|arquivos?|ficheiros?|textos?|relatórios?|"
    r"livros?|pdfs?|manual|manuais|artigos?|contratos?|apresentaç(?:ão|ões))",
    (
        r"(?:resuma|resume|resumir|resume-me|resuma-me|me resuma|sintetize)(?: {it})?(?: em .{{1,20}} (?:frases?|"
        r"palavras|linhas|pontos))?",
        r"(?:(?:me )?(?:faça|faz|fazer|faz-me|dê|dê-me|dá-me|dar|escreva|crie|mostre|mostra)(?: me)? )?(?:um |uma |"
        r"o |a )?(?:breve |pequeno |curto )?(?:resumo|síntese|visão geral|índice|sumário)(?: (?:de |sobre )?{it})?",
        r"(?:do|de|sobre o?) ?que (?:é que )?(?:trata|tratam|fala|falam|é|se trata)(?: {it})?",
        r"(?:me )?(?:fale|conte|diga)(?:-me)?(?: um pouco)? sobre (?:este|esse|o) (?:documento|arquivo|ficheiro|texto)",
        r"{it} (?:é sobre o quê?|fala sobre o quê?|trata de quê?)",
        r"(?:o )?que (?:é que )?(?:diz|dizem|contém|contêm|há em|há|tem em|tem|está em|está) {it}",
        r"(?:o )?que {it} (?:diz|contém)",
        r"qual é o (?:tema|assunto|conteúdo|objetivo)(?: principal)? (?:de )?{it}",
        r"(?:quais são )?os (?:pontos|temas) (?:principais|chave|mais importantes)(?: (?:de )?{it})?",
        r"(?:quais|que|quantos) (?:documentos|arquivos|ficheiros) (?:eu )?(?:tenho|existem|há|enviei|carreguei|"
        r"estão disponíveis|você tem)",
        r"(?:liste|lista|enumere|mostre|mostra)(?:-me)? (?:todos )?(?:os |os meus |meus )(?:documentos|arquivos|"
        r"ficheiros|capítulos)",
    ),
)
DUTCH = Language(
    r"dit|dat|alles|(?:(?:alle |al )?(?:het |de |dit |deze |mijn |onze |je ))?(?:document(?:en)?|bestand(?:en)?|"
    r"tekst(?:en)?|rapport(?:en)?|verslag(?:en)?|boek(?:en)?|pdf(?:'s)?|handleiding|artikel(?:en)?|contract(?:en)?|"
    r"presentatie|brief)",
    (
        r"vat {it}(?: even| kort| voor me)* samen",
        r"{it}(?: kort)? samenvatten",
        r"(?:(?:geef|maak|schrijf|toon)(?: me| mij| ons)? )?(?:een |de |het )?(?:korte? )?(?:samenvatting|overzicht|"
        r"inhoudsopgave)(?: (?:van|over) {it})?",
        r"waar (?:gaat|gaan) {it} over",
        r"waarover (?:gaat|gaan) {it}",
        r"wat (?:staat er|zit er|staat) in {it}",
        r"wat (?:zegt|bevat) {it}",
        r"wat is (?:het onderwerp|de inhoud|het doel) van {it}",
        r"(?:welke|hoeveel) (?:documenten|bestanden) (?:zijn er|heb ik(?: geüpload)?|heb je|bestaan er)",
    ),
)
RUSSIAN = Language(
    r"это|этого|этом|нём|него|всё|все это|(?:(?:все |всех |весь )?(?:этот |этого |этому |этом |эту |эти |этих |этой "
    r"|эта |мой |моего |моём |мои |моих |данный |данного |данном ))?(?:документ|файл|текст|отчёт|договор|доклад|"
    r"руководств|книг|стать|материал|презентаци|pdf|пдф)(?:[аеуиыояюй]|ов|ах|ом|ях|ам|ию|ии|ью)?",
    (
        r"(?:кратко |вкратце |коротко )?(?:резюмируй|суммируй|суммаризируй|обобщи|перескажи|подытожь|изложи|опиши|"
        r"резюмировать|обобщить|пересказать)(?:те)?(?: мне)?(?: кратко| вкратце| коротко)?(?: содержание)?(?: "
        r"{it})?(?: кратко| вкратце| коротко| в .{{1,12}} (?:предложениях|словах|пунктах))?",
        r"(?:(?:сделай|дай|напиши|составь|подготовь|покажи|создай|сделать)(?:те)?(?: мне)? )?(?:краткое |краткий |"
        r"короткое |общий |общее )?(?:резюме|содержание|обзор|пересказ|изложение|конспект|оглавление|сводку|сводка|"
        r"саммари)(?: (?:по |для |к )?{it})?",
        r"(?:(?:расскажи|скажи|объясни)(?:те)?(?: мне)?(?: кратко| вкратце)?,? )?(?:о чём|про что|"
        r"о чем)(?: говорится| идёт речь| рассказывается| написано)?(?: в)? {it}",
        r"о чём (?:говорит|рассказывает|повествует) {it}",
        r"что (?:содержится|написано|говорится|есть|сказано|находится)? ?(?:в|во) {it}",
        r"что это за (?:документы?|файлы?|текст)",
        r"каково (?:основное |краткое )?содержание {it}",
        r"что (?:содержит|говорит|описывает) {it}",
        r"как(?:ая|ова) (?:основная )?(?:тема|суть) {it}",
        r"(?:каковы |какие )?(?:основные|главные|ключевые) (?:мысли|пункты|темы|идеи|положения|моменты)(?: (?:в "
        r")?{it})?",
        r"(?:какие|сколько) (?:документы|файлы|документов|файлов) (?:есть|у меня есть|у меня|я загрузила?|имеются|"
        r"загружены|у тебя есть)",
        r"(?:перечисли|покажи)(?:те)?(?: мне)? (?:все )?(?:мои )?(?:документы|файлы|главы|разделы)",
    ),
)
CHINESE = Language(
    r"(?:这|這|此|该|該|那|这些|這些|所有|全部|我的|上传的|上傳的|以上|整)?(?:个|個|份|篇|本|部|些)?(?:的)?(?:pdf|"
    r"word)?(?:文档|文檔|文件|文章|报告|報告|书|書|文本|资料|資料|论文|論文|合同|手册|手冊|材料|pdf|内容|內容|全文|"
    r"档案|檔案)|这个|這個|这|這|它|它们",
    (
        r"(?:简要|简单|简短|大致|用.{{1,10}})?(?:地)?(?:总结|總結|概括|归纳|歸納|概述|摘要|介绍|介紹|综述)(?:一下|"
        r"下)?(?:{it})?(?:的)?(?:主要)?(?:内容|內容|要点|要點|大意|主旨)?",
        r"(?:把|将|對|对)?{it}(?:做|进行|進行|作)?(?:个|個|一个|一個)?(?:简要|简单)?(?:的)?(?:总结|總結|概括|归纳|"
        r"歸納|概述|摘要)(?:一下|下)?",
        r"{it}(?:主要|大概|都|是|在)*(?:讲|講|说|說|写|寫|讲述|講述|介绍|介紹|谈|关于|關於|涉及|包含|包括)(?:了|的|"
        r"述)*(?:是)?(?:什么|什麼|哪些|啥)(?:内容|內容|的)?",
        r"{it}(?:里|裡|中|里面|裡面)(?:有|写了|寫了|讲了|說了|说了)(?:什么|什麼|哪些)(?:内容|內容)?",
        r"{it}(?:的)?(?:主要|中心|核心)?(?:内容|內容|主题|主題|要点|要點|大意|摘要|目录|目錄|大纲|大綱|思想|"
        r"主旨)(?:是什么|是什麼|有哪些|是)?",
        r"(?:给我|給我|给出|給出|写|寫|做|生成|提供|列出)?(?:一个|一份|一個|个|份)?{it}?(?:的)?(?:总结|總結|摘要|"
        r"概要|概述|大纲|大綱|目录|目錄|概览)",
        r"(?:我)?(?:这里|这儿)?(?:有|上传了|上傳了)(?:哪些|什么|什麼|多少|几个)(?:文档|文檔|文件|档案|檔案|资料)",
        r"(?:这|這)(?:是|份是)?(?:一个|一份|个|份)?(?:什么|什麼)(?:文件|文档|文檔|资料|報告|报告)",
        r"(?:列出|列举|显示)(?:所有|全部)?(?:的|我的)?(?:文档|文檔|文件|章节|章節|档案|檔案)",
    ),
)
JAPANESE = Language(
    r"(?:この|その|これらの|すべての|全ての|全部の|私の|アップロードした|添付の)?(?:pdf|word)?(?:文書|ドキュメント|"
    r"ファイル|資料|文章|本|論文|報告書|レポート|記事|テキスト|pdf|書類|マニュアル|内容|契約書)(?:全体)?|これ|それ|"
    r"これら|全体",
    (
        r"(?:{it}(?:を|の(?:内容を)?)?)?(?:簡潔に|簡単に|短く|手短に|.{{1,8}}で)?(?:要約|まとめ|サマリー|概要|"
        r"要約文|サマライズ)(?:を)?(?:して|する|てほしい|して(?:ください|下さい|くれ|ほしい|くれますか|"
        r"もらえますか)|しなさい|お願いします|お願い|て|て(?:ください|下さい|くれますか)|(?:作成|作|書|教え)(?:って|"
        r"いて|えて|して|て)?(?:ください|下さい)?)?",
        r"{it}(?:に)?(?:は|には|の内容は|って)?(?:何について|何が|何を|どんな|どのような|どういう)(?:内容|こと|"
        r"もの)?(?:を|が|の)?(?:書かれて|書いて|述べて|説明して|説明した|述べた|扱って|語って)?(?:い(?:る|ます)|"
        r"ある|あります)?(?:の|もの|文書|本|内容)?(?:です|でしょう)?か?",
        r"{it}(?:の|は)(?:主な)?(?:内容|概要|要点|目次|主題|テーマ|趣旨)(?:は|を|は何|は何ですか|とは|を教えて|"
        r"を教えてください|を見せて|を示して)?(?:何ですか)?",
        r"(?:この|その)(?:文書|ファイル|資料|ドキュメント)は何(?:です|でしょう)?か?",
        r"(?:主な|重要な)?(?:要点|ポイント|概要)を(?:教えて|まとめて|示して)(?:ください|下さい)?",
        r"(?:どんな|どの|どのような|何の)(?:文書|ファイル|ドキュメント|資料)が(?:ありますか|あるの|ある|あるか|"
        r"登録されていますか)",
        r"(?:すべての|全ての|全)?(?:文書|ファイル|ドキュメント|章)(?:の一覧)?を(?:一覧|列挙|リスト|リストアップ|"
        r"表示|見せ)(?:に)?(?:して|て)?(?:ください|下さい)?",
    ),
)
KOREAN = Language(
    r"(?:이|그|해당|저|모든|전체|내|제|첨부된|업로드한|이들)? ?(?:pdf )?(?:문서|파일|글|텍스트|보고서|책|자료|논문|"
    r"기사|매뉴얼|설명서|pdf|내용|계약서)(?:들)?(?: 전체)?(?:를|을|의|은|는|이|가|에|에는|에서|에서는)?(?: "
    r"내용(?:을|은|이)?)?|이것|이거|이걸|이것은|이건|이것을|이 것",
    (
        r"(?:{it} ?)?(?:.{{1,6}}(?:문장|줄|단어|단락)(?:으)?로 )?(?:간단히|간략하게|간략히|짧게|"
        r"간단하게)? ?(?:요약|정리)(?:을|본|문)?(?: ?(?:해|하여|좀|부탁|"
        r"작성|보여|알려|만들어)){{0,3}} ?(?:줘|주세요|줄래|주시겠어요|줘요|주실래요|하세요|해라|해요|드려요|"
        r"드립니다|주십시오|합니다)?",
        r"{it} ?(?:무엇|뭐)에 ?(?:관한|관해|대한|대해)(?:서)? ?(?:것|거|글|문서|내용|이야기|설명하|말하|다루|쓰여|"
        r"적혀|나와|이야기하)?(?:고|인|인지)? ?(?:있|이|하)?(?:나요|는가요|가요|건가요|습니까|입니까|어요|에요|"
        r"예요|야|어|니|지|죠)?",
        r"{it} ?(?:무슨|어떤) ?(?:내용|이야기|얘기|주제)(?:이|을|를|에 대해)? ?(?:담고|담겨|다루고|다루|들어|적혀|쓰여|"
        r"말하고|말하|설명하고|설명하)? ?(?:있|인|이|하)?(?:나요|는가요|가요|습니까|입니까|어요|에요|예요|어|야|"
        r"니|지|죠|요)?",
        r"{it} ?(?:무엇을|뭘|뭐를|무엇이|뭐가) ?(?:다루|담|들|적히|쓰이|말하|설명하|적혀|쓰여|들어|담겨)(?:고|"
        r"아)? ?(?:있)?"
        r"(?:나요|는가요|는지|는 건가요|습니까|어요|어|니|지|죠|요)?",
        r"(?:{it} ?)?(?:주요 |핵심 )?내용(?:이|은)? ?(?:뭐야|뭐예요|뭔가요|뭐니|뭐죠|무엇인가요|무엇입니까)",
        r"(?:주요 |핵심 )(?:내용|요점|사항)(?:을|를|만)? ?(?:요약|정리|설명)(?:해)? ?(?:줘|주세요|줄래)?",
        r"(?:이게|이건|이것은|이거|이 파일은) ?(?:무슨|어떤) ?(?:문서|파일|글|책|자료|보고서|내용)(?:이야|야|"
        r"인가요|이에요|"
        r"예요|입니까|이지|지)",
        r"{it} ?(?:주제|요지|핵심|목차|개요|요점|주요 내용|핵심 내용|요약)(?:은|는|가|이|를|을)? ?(?:무엇인가요|"
        r"뭐야|뭔가요|뭐예요|무엇입니까|알려줘|알려주세요|보여줘|보여주세요)?",
        r"(?:어떤|무슨) ?(?:문서|파일|자료)(?:가|이|들이)? ?(?:있나요|있어|있어요|있습니까|있지|있니)",
        r"(?:모든|전체|내)? ?(?:문서|파일|장|목차) ?(?:목록)?(?:을|를)? ?(?:나열|보여|알려)(?:해)? ?(?:줘|주세요)?",
    ),
)
ARABIC = Language(
    r"هذا|هذه|ذلك|كل شيء|كل هذا|(?:(?:كل|جميع|محتوى) )?(?:(?:هذا|هذه|هذين) )?(?:ال|لل|بال)?(?:مستند|وثيقة|ملف|نص|"
    r"تقرير|كتاب|مقال|مقالة|عقد|دليل|مستندات|وثائق|ملفات|نصوص)",
    (
        r"(?:لخص|لخصي|لخصوا|اختصر|أوجز|تلخيص)(?: لي| لنا)? ?(?:محتوى )?(?:{it})?(?: باختصار| بإيجاز|"
        r" في .{{1,8}} (?:جمل|كلمات|نقاط|أسطر))?",
        r"(?:(?:اكتب|أعط|أعطني|أعطنا|قدم|اعمل|أنشئ|اعرض)(?: لي| لنا)? )?(?:ملخصا|ملخص|خلاصة|نظرة عامة|موجزا|موجز|"
        r"تلخيصا|فهرس)(?: (?:موجزا?|قصيرا?|مختصرا?))?(?: (?:ل|عن|من|حول|على)? ?{it})?",
        r"(?:ما|ماذا|ما هو|ما هي) (?:موضوع|محتوى|محتويات|مضمون|ملخص|فكرة) {it}",
        r"(?:(?:اشرح|قل|أخبرني)(?: لي)? )?(?:عما|عم|عمّ|ما الذي|عن ماذا|عن أي شيء|حول ماذا|بماذا) (?:يتحدث|"
        r"تتحدث|يدور|تدور|يتكلم|تتناول)(?: عنه| حوله)? ?{it}",
        r"ماذا (?:يقول|تقول|يحتوي|تحتوي|يوجد في|يتضمن|تتضمن|يتناول|تتناول|في) {it}",
        r"(?:ما (?:هي )?(?:أهم )?)?(?:النقاط|الأفكار|المواضيع) (?:الرئيسية|الأساسية|المهمة)(?: (?:في|من) {it})?",
        r"(?:ما (?:هي )?|أي |كم )(?:المستندات|الوثائق|الملفات|مستند|ملف)(?: (?:الموجودة|المتوفرة|المتاحة|لدي|التي "
        r"لدي|التي رفعتها|الموجودة لدي|لديك|عندي|يوجد))",
    ),
)
HINDI = Language(
    r"यह|ये|इसे|इसका|इसके|इसमें|सब कुछ|(?:(?:इस|यह|इन|ये|मेरे|मेरी|सभी|पूरे|पूरी|अपलोड किए गए) )*(?:दस्तावेज़|"
    r"दस्तावेज|दस्तावेज़ों|दस्तावेजों|फ़ाइल|फ़ाइलों|फ़ाइलें|पाठ|रिपोर्ट|किताब|पुस्तक|लेख|पीडीएफ|pdf|डॉक्यूमेंट|"
    r"टेक्स्ट|अनुबंध)",
    (
        r"(?:मुझे )?(?:{it} ?)?(?:का|की|के|को)? ?(?:संक्षेप में )?(?:एक )?(?:संक्षिप्त )?(?:संक्षेप|सारांश|सार|"
        r"रूपरेखा|विषय सूची|अवलोकन)(?: में)?(?: (?:दे सकते हैं|दे सकती हैं|बताओ|बताइए|बताएं|बताएँ|दें|दो|दीजिए|"
        r"लिखें|लिखो|लिखिए|बनाएं|बनाओ|"
        r"बनाइए|करें|करो|कीजिए|प्रस्तुत करें|तैयार करें|क्या है|चाहिए))?",
        r"{it} को (?:संक्षेप में |सारांशित )(?:करें|करो|कीजिए|कर दो|बताओ|बताइए|समझाओ|समझाइए)",
        r"{it} (?:में )?(?:किस बारे में|किसके बारे में|किस विषय (?:में|पर)|किस विषय के बारे में)(?: (?:है|हैं|बात "
        r"करता है|बताता है))?",
        r"{it} ?(?:में)? ?क्या(?:-क्या)? (?:है|हैं|लिखा है|बताया गया है|कहा गया है|कहता है|शामिल है)",
        r"{it} (?:का|की|के) (?:मुख्य )?(?:विषय|बिंदु|बातें|उद्देश्य)(?: (?:क्या (?:है|हैं)|बताओ|बताइए))?",
        r"(?:कौन से|कौन-कौन से|कौन सी|कितने|कितनी) (?:दस्तावेज़|फ़ाइलें|फ़ाइल) (?:हैं|है|उपलब्ध हैं|मेरे पास हैं|"
        r"मौजूद हैं)",
        r"(?:मेरे पास )?(?:कौन से|कौन-कौन से|कितने) (?:दस्तावेज़) हैं",
        r"(?:सभी|मेरे) (?:दस्तावेज़|फ़ाइलें|दस्तावेज़ों की सूची) (?:दिखाओ|दिखाएं|दिखाइए|बताओ|बताइए)",
    ),
)
LANGUAGES = (
    ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE, DUTCH, RUSSIAN, CHINESE, JAPANESE, KOREAN, ARABIC, HINDI,
)  # fmt: skip
