# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Words that the seeded account is made of."""

PEOPLE = (
    "Ann Miller", "José Álvarez", "Zoë Brontë", "Björk Guðmundsdóttir", "Łukasz Żółć", "Søren Kierkegård", "Ναταλία Παπαδοπούλου",
    "Иван Петрович Сидоров", "Оксана Ґудзь", "שרה לוי", "محمد بن عبد الله", "रवि शर्मा", "সুমিতা রায়", "தமிழ் செல்வன்", "李小龍", "王 芳", "山田 太郎",
    "佐藤ゆき", "김민수", "Nguyễn Thị Hồng", "O'Brien, Máire", "Jean-Luc d'Été", "Müller-Lüdenscheidt", "Emoji 🦊 Fan", "X Æ A-12",
    "Çağla Şimşek", "Ștefan Țîrlea", "Āriņš Kļaviņš", "Ọlá Adébáyọ̀", "Mary  Double Space")
COMPANIES = ("Hydra", "Ötzi Outdoor", "株式会社ホリ", "ООО Ромашка", "Śnieżka", "Société Générale d'Eau", "Acme & Sons", "Δέλτα Α.Ε.",
             "شركة النور", "한빛소프트", "Café \"Central\"", "Nordlys 🌌", "42", "null")
SUBJECTS = ("Where is my order?", "Rückgabe: Größe passt nicht", "Не приходит письмо", "ログインできません", "Refund 💸 please", "Rechnung\tfehlt",
            "لا أستطيع الدخول", "Question about \"plans\"", "退款申请", "Fwd: Re: FW: urgent")
BODIES = ("Hello,\n\nI am waiting since Monday.", "Danke für die schnelle Antwort! 🙏", "Спасибо, всё работает.", "まだ届いていません。", "We looked into it: <b>shipped</b>.",
          "Line one\r\nLine two", "Can you call me? +49 30 123456", "")
TAGS = ("vip", "refund", "größe", "web", "mobile", "beta_tester", "churn-risk", "新規")
STATUSES = ("new", "open", "open", "pending", "hold", "solved", "solved", "closed")
ZONES = (("Berlin", "Europe/Berlin"), ("Eastern Time (US & Canada)", "America/New_York"), ("Tokyo", "Asia/Tokyo"), ("UTC", "Etc/UTC"))
LOCALES = ((1, "en-US"), (8, "de"), (16, "fr"), (67, "ja"))
PHONES = ("+4930123456", "+1 (555) 010-9999", "+81312345678", "0044 20 7946 0000")
