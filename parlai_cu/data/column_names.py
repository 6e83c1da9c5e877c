"""What columns are called, in the languages that people keep their tables in."""

import re

# role -> names; of several that fit, the one that ends a column's name counts most
NAMES = {
    "question": """
        question | query | customer question | user question | user message | user | customer
        | customer message | prompt | ask | asked | utterance | user input | input | request
        | human | frage | kundenfrage | anfrage | kunde | nutzer | demande | question client
        | pregunta | consulta | cliente | usuario | domanda | richiesta | utente | pergunta
        | vraag | klant | pytanie | klient | вопрос | клиент | soru | fråga | spørgsmål
        | spørsmål | kysymys | kérdés | otázka | întrebare | ερώτηση | प्रश्न | 質問 | 问题 | 問題
        | 질문 | سؤال | السؤال | שאלה | câu hỏi | pertanyaan | питання | запитання | въпрос
        | pitanje | vprašanje | küsimus | klausimas | jautājums | spurning | คำถาม | سوال
        | প্রশ্ন | soalan | tanong | swali | galdera""",
    "reply": """
        answer | reply | response | completion | output | target | gold | label | solution
        | agent | bot | assistant | support | agent reply | agent message | antwort | lösung
        | réponse | respuesta | contestación | risposta | resposta | antwoord | odpowiedź
        | ответ | yanıt | cevap | svar | vastaus | válasz | odpověď | răspuns | απάντηση | उत्तर
        | 回答 | 答案 | 答え | 答复 | 답변 | إجابة | الإجابة | جواب | الجواب | תשובה | câu trả lời
        | jawaban | odpoveď | odgovor | відповідь | отговор | vastus | atsakymas | atbilde
        | คำตอบ | پاسخ | jawapan | sagot | jibu | erantzuna | উত্তর | labels | eval labels
        | answers | responses | replies""",
    "correction": """
        correction | corrected | correct answer | right answer | should be | should have said
        | expected | ideal | korrektur | soll | berichtigung | corrección | correzione
        | correção | correctie | korekta | poprawka | исправление | düzeltme | 訂正 | 更正 | 修正
        | تصحيح | chosen | preferred | accepted answer | gewählt | bevorzugt | choisi | choisie
        | préféré | elegido | elegida | preferido | scelto | scelta | preferito | escolhido
        | escolhida | gekozen | wybrana | выбранный | 정답 | 模範解答""",
    "wrong": """
        wrong | rejected | bot said | model said | actual | we said | bot output | model output
        | falsch | ist | 誤答 | abgelehnt | verworfen | rejeté | rejetée | rechazado | rechazada
        | rifiutato | rifiutata | rejeitado | rejeitada | afgewezen | odrzucona | отклонённый
        | 오답""",
    "context": """
        context | history | previous | dialogue history | chat history | before | kontext
        | verlauf | vorgeschichte | contexte | historique | contexto | historial | contesto
        | cronologia | histórico | geschiedenis | kontekst | контекст | bağlam | 上下文 | 文脈
        | السياق | הקשר""",
    "conversation": """
        conversation | conversation id | conversationid | ticket | ticket id | ticket number
        | chat | chat id | thread | thread id | dialog | dialogue | dialog id | dialogue id
        | session | session id | case | case id | case number | gespräch | vorgang | fall
        | ticketnummer | dossier | discussion | conversación | caso | conversazione | conversa
        | gesprek | rozmowa | zgłoszenie | диалог | обращение | sohbet | samtal | 会话 | 工单 | 対話
        | 会話 | محادثة | المحادثة | שיחה | conversation no | dialogue no | dialog no""",
    "speaker": """
        speaker | role | author | author type | author role | sender | sender type | from | who
        | direction | sent by | sprecher | absender | rolle | verfasser | auteur | expéditeur
        | rôle | autor | remitente | hablante | rol | mittente | autore | ruolo | remetente
        | afzender | nadawca | отправитель | автор | gönderen | avsändare | 发送者 | 发送人 | 話者
        | 送信者 | المرسل | שולח""",
    "text": """
        text | message | body | content | comment | message body | plain body | body text | said
        | html body | nachricht | inhalt | contenu | texte | mensaje | texto | messaggio | testo
        | mensagem | bericht | tekst | wiadomość | treść | сообщение | текст | mesaj
        | meddelande | 消息 | 内容 | 正文 | メッセージ | 本文 | الرسالة | رسالة | النص | הודעה""",
    "time": """
        time | date | timestamp | created | created at | sent at | sent | updated | datetime
        | zeit | datum | zeitpunkt | uhrzeit | erstellt | heure | fecha | hora | data | ora
        | data e ora | tijd | czas | дата | время | tarih | saat | tid | 时间 | 日期 | 日時
        | التاريخ | الوقت | תאריך | turn | turn id | turn idx | turn index | turn number
        | message index | seq | sequence""",
    "language": """
        language | lang | locale | sprache | langue | idioma | lingua | língua | taal | język
        | язык | dil | språk | 语言 | 言語 | اللغة | שפה""",
    "split": "split | set | subset | partition | fold | part | teilmenge | conjunto | 划分",
    "accepted": """
        accepted | approved | ok | reviewed | verified | keep | use | status | label ok | good
        | akzeptiert | freigegeben | geprüft | accepté | validé | aceptado | aprobado
        | accettato | approvato | aceito | aprovado | goedgekeurd | zaakceptowane | принято
        | одобрено | onaylandı | godkänd | 批准 | 已审核 | 承認 | مقبول | אושר""",
    "private": """
        private | is private | internal | internal note | private note | intern | privat | privé
        | interne | privado | interno | privato | prywatne | внутренний | 内部""",
    "public": "public | is public | öffentlich | público | pubblico | openbaar",
    "incoming": "incoming | is incoming | inbound | from customer | is customer",
    "type": "type | message type | messagetype | part type | event | kind | typ | tipo",
    "id": "id | nr | no | number | nummer | numéro | número | numero | key | index | uuid | row",
}
# of these the ones that describe what follows them: "expected delivery" is no correction
ADJECTIVES = frozenset(
    """expected ideal corrected chosen preferred soll actual ist rejected wrong gewählt bevorzugt
    choisi préféré elegido preferido scelto preferito escolhido gekozen abgelehnt verworfen rejeté
    rechazado rifiutato rejeitado afgewezen previous before""".split()
)
# cells that say that there is nothing
MISSING = frozenset("n/a #n/a nan null - – — #ref! #value! #name? #div/0! #null! #num!".split())
# who speaks, where a column does not hold what is said
PEOPLE = frozenset(
    """customer user human client agent bot assistant support kunde nutzer cliente usuario utente
    klant klient клиент""".split()
)
# with a name of a reply: that it was wrong, that it is right
WRONG = """
    wrong bad old incorrect rejected false previous falsch alte alter bisherig mauvais
    fauss ancien erron equivocad mala antigua sbagliat errat vecchi errad antig fout oud
    błęd zł неправильн неверн стар yanlış eski fel forkert feil 誤 间违 間違 错 錯 旧 古い خاطئ
    الخاطئ שגוי väärä virheelli rossz hibás helytelen गलत salah keliru 틀린 잘못 오답 greșit
    greşit incorect sai špatn nesprávn chybn zlá nespráv λάθος λανθασμέν неправильн хибн
    грешен грешн pogrešn napačn netočn ผิด غلط اشتباه felakt röng klaiding nepareiz ভুল
""".split()
# the same, where the name does not say as well that it is right: "bot right answer"
OF_THE_MODEL = "bot model actual given current".split()
RIGHT = """
    right correct good better expected ideal new gold final desired proper true richtig
    korrekt neu besser bonne bon juste nouvel nueva buena giust corrett nuov cert corret
    nov juist goed nieuw poprawn dobr now правильн верн нов doğru yeni rätt rigtig
    riktig 正 新 صحيح الصحيح נכון oikea oikei helyes jó सही betul benar tepat 올바른 맞는 정확 정답
    corect bun đúng správn dobrá σωστ правилен вярн вірн točn pravil ispravn ถูก درست
    صحیح korrekt rétt õige teising pareiz সঠিক
""".split()
# in cells
ACCEPTED = frozenset(
    """
    yes y true t 1 x ok accept accepted approved good keep done reviewed verified ja
    wahr
    akzeptiert freigegeben oui vrai accepté validé sí si verdadero aceptado aprobado
    vero
    accettato sim aceito tak да принято одобрено evet ✓ ✔ ✅ 是 はい نعم כן
    """.split()
)
REFUSED = frozenset(
    """
    no not n false f 0 reject rejected refused bad drop pending open todo declined nein
    falsch
    nicht abgelehnt offen non faux refusé rechazado pendiente falso rifiutato não nao
    recusado nee nie
    нет отклонено hayır ✗ ✘ ❌ 否 いいえ لا לא
    """.split()
)
SPLITS = {
    **dict.fromkeys("train training trn".split(), "train"),
    **dict.fromkeys("valid validation val dev development eval".split(), "valid"),
    **dict.fromkeys("test testing tst heldout held-out".split(), "test"),
}


_SPLIT = re.compile(rf"(?:^|[-_.\s])({'|'.join(SPLITS)})(?=[-_.\s]|$)", re.IGNORECASE)


def split_in(name: str) -> str | None:
    """The split that the ``name`` of a file or sheet tells: ``corrections_valid``."""
    found = _SPLIT.findall(name)
    return SPLITS[found[-1].lower()] if found else None


def split_of(value: object) -> str | None:
    """The split that a ``value`` of a column or a record names; None where it names none."""
    return SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
