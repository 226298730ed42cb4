"""Passing states: what is said of a moment, and what sounds like it and lasts."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.lexicon import either

PASSING: Final = re.compile(
    r"(?:(?:so|just|really|very|still|a bit|a little|kind of|kinda|quite|pretty|too|"
    r"super|rather|feeling|totally|completely|absolutely|only|not|also|already|now|"
    r"currently|slightly|such|all|bit|actually|almost|nearly|genuinely|honestly) )*"
    r"(?:"
    + either(
        "tired hungry thirsty bored busy sad happy fine ok okay good great well sick ill "
        "cold hot warm late early lost confused curious sorry glad sure unsure afraid "
        "scared worried stuck done finished ready "
        "back here there home free excited nervous stressed exhausted knackered starving "
        "drunk hungover in_a out_of out on_my on_the on_a on_it off at_home at_the "
        "at_work about_to just gonna going kidding "
        "joking impressed grateful thankful interested wondering thinking asking trying "
        "looking using writing reading drawing working_on working_through working_from "
        "getting feeling having making doing "
        "being saying talking seeing hearing waiting running calling hoping hesitating "
        "considering debating planning_to not all_ears all_set certain positive sorry "
        "amazed surprised shocked annoyed angry frustrated "
        "fed_up sick_of sleepy awake asleep up down in_bed in_town in_the alone lonely "
        "upset stumped baffled puzzled able unable willing happy_to tempted inclined "
        "supposed meant under_the over_it aware unaware "
        "right wrong mistaken with_you yours game listening cooking_dinner missing "
        "losing struggling_to struggling_with_this struggling_with_the procrastinating "
        "wrecked shattered pleased proud disappointed delighted thrilled relieved "
        "convinced overwhelmed "
        "told guessing assuming afraid outside inside downstairs upstairs doomed dying "
        "dead so_happy so_sad like no your the_one_who a_bit a_little pretty_much "
        "new_here new_to_this moving_on behind obviously probably maybe"
    )
    + r")\b(?! (?:of (?:flying|heights|spiders|dogs|water|needles|the dark|snakes|cats|"
    r"birds)|to (?:nuts|cats|dogs)))"
)
FAILING: Final = re.compile(
    r"(?:really |so |very |a bit |being |just |still |running |already |not )*(?:late|"
    r"slow|broken|working|down|dead|dying|hurting|hurts?|killing|crashing|stuck|"
    r"frozen|failing|acting up|ringing|loading|wrong|on fire|spinning|buzzing|cold|"
    r"boring|long|annoying|weird|asking|asked)\b"
)
LASTING: Final = re.compile(
    r"(?:learning|living|training|studying|getting married|expecting|allergic|"
    r"retiring|raising|moving (?:to|house|in|out|back|into|next|on \w+day)|starting "
    r"(?:a|my|at|as|school|uni|work|on|in)|leaving (?:my|the|for|on|in|next)|flying "
    r"(?:to|out|home|back)|having (?:a baby|surgery|an operation|twins|my)|taking "
    r"(?:\w+ )?(?:medication|meds|antidepressants|insulin|statins|iron|classes|"
    r"lessons|a course)|working (?:at|as|in|for|part|full|nights|remotely|towards|"
    r"shifts)|seeing (?:a|my|someone)|going (?:to \w+ (?:in|on|next|for)|vegan|"
    r"through|out with|blind|deaf|on holiday)|trying to (?:quit|lose|learn|cut|eat|"
    r"give up|save|have)|planning a|running (?:a|the|my) (?!bit|fever|script|query|"
    r"test)|hosting|writing (?:a|my) (?:novel|book|thesis|memoir|phd)|building (?:a "
    r"house|our|my)|doing (?:a|my) (?:phd|degree|master)|giving up|saving (?:up|for)|"
    r"looking after|caring for|getting (?:divorced|a (?:dog|cat|puppy|new)|my)|"
    r"visiting|travelling|traveling|marrying|turning|renting|renovating|recovering|"
    r"off (?:alcohol|sugar|meat|dairy|gluten|caffeine|the)|on (?:the|a) (?:\w+ "
    r")?(?:team|diet|committee|board|night shift|pill|waiting list|medication)|on "
    r"(?:\w+ )?(?:medication|meds|insulin|antidepressants|statins|metformin|parental "
    r"leave|maternity leave|paternity leave|sabbatical|call|leave)|in (?:the \w+ "
    r"(?:team|department|group)|my|year|charge|recovery|therapy|remission)|not (?:a "
    r"(?:big )?(?:fan|morning|night|coffee)|allowed|able to (?:eat|drink|drive)|"
    r"religious|vegetarian|vegan|married|a|on|into|allergic)|no (?:good|longer))\b"
)
HELD_BRIEFLY: Final = re.compile(
    r"(?:no (?:idea|clue|time|problem|doubt|choice)|(?:a|an|one|another|some|two|few) "
    r"(?:\w+ )?(?:question|questions|problem|idea|issue|request|favou?r|doubt|feeling|"
    r"headache|cold|call|minute|moment|second|bug|error|hunch|thought|go|look|essay|"
    r"file|task|look|draft|list|text|sentence|bad day|point|sec|table|dataset|"
    r"function|class|string|list|deadline tomorrow)s?\b|to\b|been\b|had\b|just\b(?! "
    r"(?:moved|started|quit|bought|got|had|adopted|become|joined|turned|been "
    r"diagnosed))|never (?:seen|heard)|trouble|tried|read|seen|heard|noticed|attached|"
    r"pasted|written|made|done|got to|gotta|it\b|this\b|that\b|your\b|the (?:feeling|"
    r"impression|same)|enough|lots to|work to|nothing|everything|something|any\b|"
    r"forgotten|checked|looked|used|asked|said|told|given|decided on|added|updated|"
    r"changed|finished (?:the|this|it)|fixed|ve\b)"
)
NOT_HABIT: Final = re.compile(
    r"(?:like|love|hate|prefer|enjoy|use|mind|keep|take|follow|own|share|run|want|"
    r"need|support|drive|watch|fancy|stand|hold|see) (?:it|this|that|these|those|them|"
    r"how you|your|the (?:idea|sound|first|second|third|last|way you|look|one|new "
    r"version|answer|result|tone)|what you|you|to (?:think|know|ask|thank)|getting "
    r"(?:this|an error)|when you|the following)\b(?! (?:when|that way))"
    r"|(?:always|never|usually|normally|only|often|sometimes|no longer) (?:wondered|"
    r"thought|heard|seen|knew|know|get (?:this|an)|want(?:ed)? to (?:ask|know)|mind|"
    r"said|asked|understood|understand|get it|gets?|have (?:this|the) error|see "
    r"(?:this|that)|forget\b)"
    r"|only (?:want|need|have a (?:minute|second|question)|know|just|see|asked|meant|"
    r"get)|keep (?:getting|seeing|making|forgetting|hearing|having|on)|take (?:it|"
    r"that|back)|don't (?:like|do|have|use|trust|believe in) (?:it|this|that|the|time|"
    r"any (?:idea|questions?)|a clue|your|to)|don't have (?:much|enough|access|"
    r"anything|a problem)|love (?:to|it)|like to (?:know|ask|see|book|order)|prefer "
    r"(?:it|the (?:first|second|other))|use (?:the above|this)|work (?:it|this|out)|"
    r"study (?:this|it)"
)
