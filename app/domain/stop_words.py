"""Words without content of their own, by language: articles, pronouns, prepositions, conjunctions, auxiliaries.

They are written as people write them, in lower case; parts of contractions stand alone (`l` and `qu` of French).
Question words are among them, so that a short question has some. Of scripts without spaces they are short strings.
"""

from __future__ import annotations

SPACED: dict[str, str] = {
    "ar": (
        "في من على إلى الى عن مع هل ما ماذا متى أين اين كيف كم لماذا أي اي هو هي هم هن أنا نحن أنت هذا هذه "
        "ذلك تلك الذي التي الذين أن ان إن كان كانت يكون تكون قد لقد لا لم لن ليس ليست أو او ثم بل كل بعض "
        "بين عند بعد قبل حتى منذ خلال حول دون غير إذا اذا لكن كما مما عما فيه فيها به بها له لها منه منها "
        "عليه عليها إليه وهو وهي يا لدى"
    ),
    "be": (
        "і не што як гэта ў з да ад для па пра але ці дзе калі хто чаму колькі які якая якія ён яна яны мы вы быў была"
    ),
    "bg": (
        "и в във на за от с със до по при не да се е са съм беше бил била има няма какво какъв каква какви "
        "кой коя кое кои кога къде как защо колко дали този тази това тези той тя то те ние вие аз му ѝ им "
        "ги го я ще но или ако че като след преди между през без само още"
    ),
    "ca": (
        "el la els les un una uns unes de del dels al als amb per que què qui quin quina quins quines quan "
        "on com quant quants és són era ser està hi ha i o però si no ni en es se li seva seu seus aquest "
        "aquesta això també més molt perquè sense sobre fins des entre cada tot"
    ),
    "cs": (
        "a i v ve na do z ze s se si k ke o u po od pro při za před mezi je jsou byl byla bylo být jsem "
        "jsme má mají co kdo kdy kde jak jaký jaká jaké který která které kolik proč ten ta to tento tato "
        "toto on ona oni my vy já ne nebo ale že když aby jako také ještě už než jen"
    ),
    "da": (
        "intet ingen og i på at af til for med fra om ved efter under over mellem uden er var være bliver "
        "blev har havde kan skal vil må den det de en et der som ikke hvad hvem hvor hvornår hvordan "
        "hvorfor hvilken hvilket hvilke jeg du han hun vi mig dig os sig sin sit sine min din dette denne "
        "disse men eller hvis også når så meget nogen noget nu"
    ),
    "de": (
        "dazu nichts dabei damit davon der die das den dem des ein eine einen einem einer eines und oder "
        "aber denn sondern nicht kein keine keinen keiner in im ins an am auf aus bei beim mit nach seit "
        "von vom zu zum zur über unter vor hinter zwischen durch für gegen ohne um bis wie was wer wen wem "
        "wessen wann wo wohin woher warum wieso weshalb wozu welche welcher welches welchen welchem "
        "wieviel ist sind war waren sei wird werden wurde wurden worden hat haben hatte hatten kann können "
        "konnte muss müssen soll sollen darf dürfen will wollen mag ich du er sie es wir ihr mich dich "
        "sich uns euch ihm ihn ihnen mein dein sein seine seinen seiner ihre ihren ihrer unser dies diese "
        "dieser dieses diesen diesem man als dass daß ob wenn weil auch noch nur schon sehr so mehr dann "
        "da hier dort alle alles etwas"
    ),
    "el": (
        "ο η το οι τα του της των τον την τους τις ένα ένας μια μία και ή να δεν μη μην θα σε στο στη στην "
        "στον στα στις στους από για με κατά μετά πριν προς χωρίς είναι ήταν έχει έχουν τι ποιος ποια ποιο "
        "ποιοι πότε πού που πώς πως πόσο πόσα πόσες γιατί αυτό αυτή αυτός αυτά εγώ εμείς μας σας μου σου "
        "αλλά αν ότι όταν όπως ως"
    ),
    "es": (
        "el la los las lo un una unos unas de del al a en con por para sin sobre entre hasta desde hacia "
        "según y e o u pero sino que qué quién quien quiénes cuál cual cuáles cuándo cuando dónde donde "
        "cómo como cuánto cuanto cuánta cuántos cuántas no ni sí si se su sus le les me te nos mi tu yo él "
        "ella ellos ellas usted ustedes es son era eran fue fueron ser está están estar hay ha han había "
        "he puede pueden debe deben tiene tienen hace este esta esto estos estas ese esa eso aquel más muy "
        "también ya porque cada todo toda todos"
    ),
    "fa": (
        "و در به از که این آن را با است بود شد شده می برای تا یا هم هر چه چیست کجا کی چرا چگونه چند کدام "
        "آیا من تو او ما شما آنها خود نیست باید دارد دارند کرد کرده کند شود اما اگر پس بر نیز یک های ها"
    ),
    "fi": (
        "siitä mitään ja tai mutta että kun jos kuin niin myös ei en et emme eivät on ovat oli olivat olla "
        "ole mikä mitä mitkä missä mistä mihin milloin kuka kenen kuinka miten miksi paljonko montako minä "
        "sinä hän me te he se ne tämä tämän nämä joka jotka jossa jonka jota sen sitä hänen voi voivat "
        "pitää täytyy vain ennen jälkeen aikana kanssa ilman"
    ),
    "fr": (
        "le la les l un une des de du d à au aux en dans sur sous par pour avec sans chez vers entre "
        "depuis pendant avant après et ou où mais donc ni car que qu qui quoi dont quel quelle quels "
        "quelles quand comment combien pourquoi est sont était étaient sera être a ont avait avoir ai suis "
        "sommes peut peuvent doit doivent fait faut ne n pas plus ce c cet cette ces se s il elle ils "
        "elles on nous vous je j tu me m te t lui leur leurs son sa ses mon ma mes notre votre si y comme "
        "aussi très tout tous toute toutes lorsque lorsqu"
    ),
    "he": (
        "של את על אל עם לא כן מה מי מתי איפה היכן איך כיצד כמה למה מדוע האם איזה איזו אילו זה זאת זו אלה "
        "הוא היא הם הן אני אנחנו אתה יש אין היה היתה הייתה היו או גם כי אם אך אבל רק כל בין לפני אחרי עד "
        "כדי אשר לפי לו לה"
    ),
    "hi": (
        "का के की को में से पर ने और या है हैं था थी थे हो होता होती होते हुआ हुई हुए होगा होगी क्या कौन "
        "कौनसा कौनसी कब कहाँ कहां कैसे कितना कितने कितनी क्यों किस किसे किसने किसको किसका किसकी किसके जो "
        "जब तक तो ही भी न नहीं यह ये वह वे इस उस इन उन इसका इसके इसकी उसके उसकी उनके अपने अपनी अपना मैं हम "
        "आप मुझे हमें कि लिए साथ बाद पहले एक कर करके गया गई गए रहा रही रहे सकता सकते सकती चाहिए जाता जाती "
        "जाते"
    ),
    "hr": (
        "i u na za od do s sa po pri iz o kod prema je su bio bila bilo biti će nije nisu što tko kada kad "
        "gdje kako koji koja koje kojem koliko zašto li taj ta to ovaj ova ovo on ona oni mi vi ja se ne "
        "ni ili ali ako da kao također samo još nego između prije poslije"
    ),
    "hu": (
        "sem semmi semmit erről arról a az és vagy de hogy ha nem is ez az egy meg már csak mint van "
        "vannak volt voltak lesz mi mit mikor hol hová honnan hogyan miért ki kit kinek milyen melyik "
        "mennyi hány mennyibe én te ő mi ti ők ezt azt ezek azok aki ami amely ahol amikor után előtt "
        "alatt között nélkül szerint felett kell lehet nincs"
    ),
    "id": (
        "yang dan di ke dari untuk dengan pada adalah ini itu tidak akan atau juga oleh sebagai dalam apa "
        "siapa kapan mana bagaimana berapa mengapa apakah saya kami kita anda dia mereka ada bisa dapat "
        "harus sudah telah karena jika tetapi lebih setelah sebelum"
    ),
    "it": (
        "il lo la i gli le l un uno una di del dello della dei degli delle dell a al allo alla ai agli "
        "alle all da dal dalla dai dalle dall in nel nello nella nei negli nelle nell con su sul sulla sui "
        "sulle sull per tra fra e ed o ma che chi cosa cos quale quali qual quando dove dov come quanto "
        "quanta quanti quante perché non né se si è sono era erano essere ha hanno aveva avere ho può "
        "possono deve devono c ci vi mi ti ne lui lei noi voi loro suo sua suoi sue mio questo questa "
        "questi queste quello quella più anche molto già ogni tutto tutti senza dopo"
    ),
    "ko": (
        "은 는 이 가 을 를 의 에 에서 에게 와 과 도 로 으로 및 또는 그리고 그러나 무엇 무엇을 무엇이 "
        "무엇인가요 무엇입니까 뭐 뭔가요 누가 누구 누구를 누구인가요 누구입니까 언제 언제까지 언제부터 "
        "어디 어디에 어디에서 어디서 어떻게 어떤 어느 왜 얼마 얼마나 얼마인가요 얼마입니까 몇 그 저 이것 "
        "그것 수 것 등 때 있다 없다 있나요 있습니까 있는 없는 하는 한 할 합니다 하나요 합니까 입니다 "
        "되나요 됩니까"
    ),
    "lt": (
        "ir yra kad su iš į ne ar bet kaip kas kada kur kiek kodėl kuris kuri tai šis ši jis ji jie mes "
        "jūs buvo būti už po nuo iki"
    ),
    "mr": ("आहे आहेत आणि होते होता होती नाही काय कोण कधी कुठे कसे किती का ते तो ती हे हा ही त्या या मध्ये साठी आहेस असे पण व"),
    "ne": ("छ छन् हो र को मा ले लाई बाट पनि गर्ने गर्न भएको लागि के कहिले कहाँ कति कसरी किन यो त्यो हुन्छ थियो गरेको तथा"),
    "nl": (
        "de het een en of maar want niet geen van in op aan bij met voor naar uit over onder tussen door "
        "zonder tot tijdens na om te ter wat wie wanneer waar waarom hoe hoeveel welke welk waarvoor "
        "waarin is zijn was waren wordt worden werd werden heeft hebben had hadden kan kunnen mag mogen "
        "moet moeten zal zullen wil ik jij je hij zij ze wij we jullie u mij hem haar ons hun zich mijn "
        "zijn uw dit dat deze die er hier daar als dan ook nog al wel meer zo dus omdat alle elke"
    ),
    "no": (
        "ingenting ingen og i på at av til for med fra om ved etter under over mellom uten er var være "
        "blir ble har hadde kan skal vil må den det de en et ei som ikke hva hvem hvor når hvordan hvorfor "
        "hvilken hvilket hvilke jeg du han hun vi meg deg oss seg sin sitt sine min din dette denne disse "
        "men eller hvis også så mye noen noe nå bare"
    ),
    "pl": (
        "i w we na do z ze o u po od dla przy za przed pod nad między przez bez jest są był była było były "
        "być ma mają nie co kto kogo kiedy gdzie skąd jak jaki jaka jakie jaką który która które ile "
        "dlaczego czy ten ta to te tego tej tym on ona ono oni my wy ja się jego jej ich oraz lub albo ale "
        "że gdy jeśli aby także też już tylko jako"
    ),
    "pt": (
        "o a os as um uma uns umas de do da dos das ao aos à às em no na nos nas num numa com por pelo "
        "pela pelos pelas para sem sobre entre até desde e ou mas que quê quem qual quais quando onde como "
        "quanto quanta quantos quantas porque não nem sim se é são era eram foi foram ser está estão estar "
        "há tem têm tinha ter pode podem deve devem faz eu tu você vocês ele ela eles elas nós me te lhe "
        "seu sua seus suas meu minha este esta isto esse essa isso aquele mais muito também já cada todo "
        "toda todos depois"
    ),
    "ro": (
        "și si în in la de din pe cu pentru prin fără despre după între până este sunt era erau fi a au am "
        "ai are avea nu ce cine când unde cum cât câte câți câtă care de cărui acest această acestea "
        "aceste un o unei unui al ale lui el ea ei ele noi voi eu se să sa sau dar dacă că mai foarte fost "
        "poate trebuie"
    ),
    "ru": (
        "и в во на с со к ко по о об от до из за для при у без между через после перед над под не ни а но "
        "или да же ли бы что чего чем кто кого кому кем когда где куда откуда как какой какая какое какие "
        "каких каким каком какую какова каков каковы сколько почему зачем который которая которое которые "
        "которых это этот эта эти этого этой тот та те того той он она оно они его её ее их ему ей им мы "
        "вы я нас вас нам вам мне меня есть был была было были быть будет будут если чтобы так также то "
        "тоже уже ещё еще только можно нужно все всё свой"
    ),
    "sk": (
        "a v vo na do z zo s sa si k ku o u po od pre pri za pred medzi je sú bol bola bolo byť čo kto "
        "kedy kde ako aký aká aké ktorý ktorá ktoré koľko prečo alebo ale že keď aby nie"
    ),
    "sl": (
        "in je na za z s so v da se ki kaj kdo kdaj kje kako koliko zakaj kateri katera ali ne tudi pri po "
        "od do bil bila ima pa še kot"
    ),
    "sr": (
        "и у на за од до с са је су био била бити није шта ко када где како који која које колико зашто ли "
        "се не или али ако да као овај то"
    ),
    "sv": (
        "inget ingen inga och i på att av till för med från om vid efter under över mellan utan är var "
        "vara blir blev har hade kan ska skall vill måste den det de en ett som inte vad vem vilka vilken "
        "vilket när var hur varför vart jag du han hon vi mig dig oss sig sin sitt sina min din detta "
        "denna dessa men eller också så mycket någon något nu bara ej"
    ),
    "tr": (
        "ve veya ile bir bu şu o için gibi kadar göre sonra önce ama fakat ancak ki da de mi mı mu mü ne "
        "kim kime kimin nerede nereye nereden zaman nasıl neden niçin kaç hangi ben sen biz siz onlar onun "
        "bunun değil var yok olarak olan olur oldu daha çok en her hiç tarafından ise nedir kimdir"
    ),
    "uk": (
        "і й та в у на з із зі до від для по про при за без між через після перед не ні а але або чи що "
        "чого хто кого коли де куди звідки як який яка яке які яких скільки чому навіщо це цей ця ці цього "
        "той він вона воно вони його її їх ми ви я нас вас є був була було були бути буде якщо щоб так "
        "також вже ще тільки можна треба всі"
    ),
    "ur": (
        "کا کے کی کو میں سے پر نے اور یا ہے ہیں تھا تھی تھے ہو کیا کون کب کہاں کیسے کتنا کتنے کتنی کیوں کس "
        "جو یہ وہ اس ان نہیں بھی تک کہ لیے"
    ),
    "vi": (
        "và là của có không được trong cho với các những một này đó khi nào ở đâu ai gì bao nhiêu như thế "
        "tại sao để từ đến về theo trên dưới sau trước cũng đã đang sẽ phải thì mà nếu nhưng hay hoặc tôi "
        "bạn họ"
    ),
}
UNSPACED: dict[str, str] = {
    "ja": (
        "の は が を に で と も へ や か から まで より など です ます でし まし した して する され れる "
        "られ いる ある あり ない なら なり って こと もの この その あの どの これ それ あれ どれ ここ "
        "そこ どこ いつ だれ 誰 何 なに なん 何で いくら いくつ どう どん なぜ れば ので のは のが のを "
        "には では とは すか ますか ですか でしょ しょう たい ため よう"
    ),
    "th": (
        "ที่ และ ของ ใน เป็น มี ได้ ให้ กับ จาก ว่า ไม่ จะ ก็ หรือ คือ อะไร ใคร เมื่อไร เมื่อไหร่ ที่ไหน "
        "อย่างไร เท่าไร เท่าไหร่ กี่ ทำไม นี้ นั้น โดย แล้ว ต้อง ไหม"
    ),
    "zh": (
        "的 了 是 在 和 与 與 或 及 也 都 就 而 着 过 吗 嗎 呢 吧 啊 把 被 从 從 到 对 對 为 為 以 于 於 "
        "我 你 您 他 她 它 我们 你们 他们 这 這 那 这个 那个 哪 哪里 哪裡 哪个 哪些 什么 什麼 怎么 怎麼 "
        "怎样 如何 多少 几 幾 谁 誰 何时 为什么 為什麼 是否 可以 不 没 沒 有 没有"
    ),
}
