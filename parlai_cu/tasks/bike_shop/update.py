"""
What the deployed assistant does not know yet. Data only; see dialogues.py for its use.

The shop now leases electric bikes and looks after their batteries (new words), and three of
the old answers are no longer true: the opening hours, the deposit, the days for a return.
"""

from parlai_cu.tasks.bike_shop import old_skill
from parlai_cu.tasks.bike_shop.dialogues import Exchange, Topic

LEASING = Topic(
    "what leasing costs",
    ask=Exchange(
        train=(
            "How much is it to lease {ebike}?",
            "What does it cost to lease {ebike}?",
            "I would like to lease {ebike}.",
            "Can I lease {ebike} from you?",
            "What is the monthly rate for {ebike}?",
            "Do you offer leasing for {ebike}?",
            "What do I pay if I lease {ebike}?",
        ),
        valid=("How much does it cost to lease {ebike}?", "What is the leasing rate for {ebike}?"),
        test=("Could I lease {ebike}?", "What is the monthly leasing rate for {ebike}?"),
        answers=(
            "We lease {ebike} for {rate} euros a month.",
            "You can lease {ebike} at a monthly rate of {rate} euros.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "How long does the lease run?",
                "How long is the contract?",
                "For how many months do I sign?",
                "What is the term of the lease?",
            ),
            valid=("How long is the lease?",),
            test=("How many months does the lease run?", "How long does the contract run?"),
            answers=(
                "The leasing contract runs for 24 months.",
                "You sign a leasing contract of 24 months.",
            ),
        ),
        Exchange(
            train=(
                "Is insurance included in the rate?",
                "Am I insured against theft?",
                "What if it is stolen?",
                "Does the lease include insurance?",
            ),
            valid=("Does the rate include insurance?",),
            test=("Is theft insurance included?", "Is insurance part of the lease?"),
            answers=(
                "Yes, the lease includes insurance against theft and damage.",
                "Insurance against theft and damage is part of the lease.",
            ),
        ),
        Exchange(
            train=(
                "Can I keep it when the lease is over?",
                "What happens at the end of the contract?",
                "Can I buy it after the lease?",
                "And when the contract ends?",
            ),
            valid=("What happens when the lease ends?",),
            test=("Can I keep it at the end of the lease?", "What happens after the contract?"),
            answers=(
                "At the end you can buy it for a tenth of its value, or swap it.",
                "Afterwards you either swap it or buy it for a tenth of its value.",
            ),
        ),
    ),
    slots=(
        {"ebike": "an electric commuter", "rate": "49"},
        {"ebike": "an electric cargo bike", "rate": "89"},
        {"ebike": "an electric mountain bike", "rate": "79"},
        {"ebike": "a folding e-bike", "rate": "55"},
    ),
)

EMPLOYER = Topic(
    "leasing through an employer",
    ask=Exchange(
        train=(
            "Can I lease an e-bike through my employer?",
            "Does my employer have to agree to the lease?",
            "How does leasing through my company work?",
            "My company offers bike leasing, how does it work?",
            "Can my employer lease an e-bike for me?",
            "Do you work with employers?",
        ),
        valid=("How do I lease through my employer?", "Can my company lease an e-bike for me?"),
        test=("Is leasing through my employer possible?", "How does it work with my employer?"),
        answers=(
            "The employer signs the lease and the rate is taken from your gross salary.",
            "The lease is signed by your employer and the rate comes out of your gross salary.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Do I save taxes that way?",
                "What is the advantage for me?",
                "How much tax do I save?",
                "Why is that cheaper?",
            ),
            valid=("Does that save me taxes?",),
            test=("How much do I save in tax?", "What is my advantage?"),
            answers=(
                "You save up to 30 percent, as tax falls due on the lower salary only.",
                "Tax falls due on the lower salary only, so you save up to 30 percent.",
            ),
        ),
    ),
)

BATTERY = Topic(
    "battery check",
    ask=Exchange(
        train=(
            "Can you check the battery of my e-bike?",
            "My battery runs down quickly.",
            "The range of my e-bike has become short.",
            "How do I know if my battery is still good?",
            "Do you test batteries?",
            "My e-bike battery is weak, can you test it?",
            "I think my battery has lost capacity.",
        ),
        valid=("Could you test my battery?", "The battery of my e-bike runs down too quickly."),
        test=("Do you check e-bike batteries?", "My battery has become weak."),
        answers=(
            "Our battery check measures the capacity left; it costs 29 euros.",
            "We measure the remaining capacity in a battery check for 29 euros.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "How many years does a battery last?",
                "When do I need a new battery?",
                "What is the lifetime of a battery?",
                "How often can I charge it?",
            ),
            valid=("How long does a battery last?",),
            test=("How many years will a battery last?", "What lifetime does a battery have?"),
            answers=(
                "A good battery survives about 800 charging cycles, or seven years.",
                "Expect about 800 charging cycles, or seven years.",
            ),
        ),
        Exchange(
            train=(
                "Can cells be replaced?",
                "Do you repair batteries?",
                "Can you put in new cells?",
                "Could it be refurbished?",
            ),
            valid=("Can you replace cells?",),
            test=("Can you repair the battery?", "Could you replace the cells?"),
            answers=(
                "We send it to a certified workshop, which replaces weak cells for 240 euros.",
                "A certified workshop replaces weak cells for 240 euros.",
            ),
        ),
    ),
)

CHARGING = Topic(
    "charging and storing the battery",
    ask=Exchange(
        train=(
            "How do I charge my e-bike properly?",
            "How full should I charge the battery?",
            "How long does charging take?",
            "Can I leave the battery on the charger overnight?",
            "What is the best way to charge the battery?",
            "Should I charge it to full?",
        ),
        valid=("How should I charge the battery?", "How long do I charge my e-bike?"),
        test=(
            "What is the proper way to charge my e-bike?",
            "How long should I charge the battery?",
        ),
        answers=(
            "Stay between 20 and 80 percent, and unplug the charger after four hours.",
            "Unplug the charger after four hours, and stay between 20 and 80 percent.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Where do I keep the battery in winter?",
                "What about frost?",
                "How do I store it in winter?",
                "Is the cold bad for it?",
            ),
            valid=("Where should I store it in winter?",),
            test=("How should the battery be stored in winter?", "Is frost bad for the battery?"),
            answers=(
                "Store it indoors, half charged and away from frost.",
                "In winter, keep it indoors, half charged and away from frost.",
            ),
        ),
    ),
)

ERRORS = Topic(
    "error codes on the display",
    ask=Exchange(
        train=(
            "My display shows error {code}.",
            "What does error {code} mean?",
            "The motor stops with error code {code}.",
            "My e-bike says error {code}, what is that?",
            "There is an error {code} on the display.",
            "I get error code {code}.",
        ),
        valid=("The display of my e-bike says error {code}.",),
        test=("What is error code {code}?", "My e-bike shows error {code}."),
        answers=(
            "Error {code} points to {fault}: {cure}.",
            "The motor reports {fault}: {cure}.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "I did that, but it is still there.",
                "That does not help.",
                "And if that changes nothing?",
                "It still shows the error.",
            ),
            valid=("That did not help.",),
            test=("It is still there.", "And if it still shows the error?"),
            answers=(
                "Then we read out the motor and install new software.",
                "In that case we install new software on the motor.",
            ),
        ),
    ),
    slots=(
        {"code": "503", "fault": "the speed sensor", "cure": "push its magnet back into place"},
        {"code": "602", "fault": "a hot battery", "cure": "let it cool down in the shade"},
        {
            "code": "110",
            "fault": "the torque sensor",
            "cure": "keep off the pedals when you switch on",
        },
    ),
)

# The questions stay, the answers change.

HOURS = Topic(
    "opening hours, corrected",
    ask=old_skill.HOURS.ask.revised(
        "We are now open from ten to eight, also on Sundays.",
        "You can now visit us from ten to eight, also on Sundays.",
    ),
    then=(
        old_skill.HOURS.then[0].revised(
            "Yes, we are now open on Sundays too.",
            "Now we are open on Sundays as well.",
        ),
    ),
)

DEPOSIT = Topic(
    "deposit, corrected",
    ask=old_skill.DEPOSIT.ask.revised(
        "We no longer take a deposit; an identity card is enough for a rental.",
        "There is no longer a deposit, an identity card is enough.",
    ),
)

RETURNS = Topic(
    "returning goods, corrected",
    ask=old_skill.RETURNS.ask.revised(
        "You can now return unused goods within 60 days.",
        "We now take unused goods back within 60 days.",
    ),
    then=old_skill.RETURNS.then,
)

TOPICS = (LEASING, EMPLOYER, BATTERY, CHARGING, ERRORS, HOURS, DEPOSIT, RETURNS)
OUTDATED = (old_skill.HOURS, old_skill.DEPOSIT, old_skill.RETURNS)
