"""What the shop's deployed assistant knows. Data only; see dialogues.py for its use."""

from parlai_cu.tasks.bike_shop.dialogues import Exchange, SmallTalk, Topic

HOURS = Topic(
    "opening hours",
    ask=Exchange(
        train=(
            "When are you open?",
            "What are your opening hours?",
            "What time do you open?",
            "Could you tell me when the shop opens?",
            "How late are you open today?",
            "What time does the shop close?",
            "When do you close in the evening?",
            "I would like to know your opening hours.",
        ),
        valid=("What hours are you open?", "At what time do you close?"),
        test=("Can you tell me your opening hours?", "What time does the shop open?"),
        answers=(
            "We are open from nine to six, Monday to Saturday.",
            "You can visit us from nine to six, Monday to Saturday.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Are you open on Sundays too?",
                "And on Sundays?",
                "What about Sunday?",
                "Can I come by on a Sunday?",
                "Is the shop open on Sunday?",
            ),
            valid=("Do you open on Sundays as well?",),
            test=("Are you also open on Sunday?", "What about Sundays?"),
            answers=("No, we are closed on Sundays.", "Sorry, on Sundays the shop is closed."),
        ),
        Exchange(
            train=(
                "Do you close for lunch?",
                "Are you there at lunchtime?",
                "Can I come during my lunch break?",
                "Is there a lunch break?",
            ),
            valid=("Are you open during lunch?",),
            test=("Do you take a lunch break?", "Are you open at lunchtime?"),
            answers=(
                "Yes, we stay open over lunch.",
                "We are open all day, also over lunch.",
            ),
        ),
    ),
)

LOCATION = Topic(
    "where the shop is",
    ask=Exchange(
        train=(
            "Where are you?",
            "Where is the shop?",
            "What is your address?",
            "How do I find you?",
            "Can you give me the address of the shop?",
            "How do I get to the shop?",
            "Which street are you in?",
        ),
        valid=("Where can I find the shop?", "What is the shop's address?"),
        test=("Could you give me your address?", "Where do I find you?"),
        answers=(
            "Our address is 14 Mill Street, right behind the station.",
            "You find us at 14 Mill Street, right behind the station.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Can I park there?",
                "Is there parking nearby?",
                "Where can I leave my car?",
                "I am coming by car, where do I park?",
            ),
            valid=("Where can I park?",),
            test=("Can I park my car nearby?", "Is there any parking?"),
            answers=(
                "There are three parking spaces in our yard.",
                "Yes, you can use the three parking spaces in our yard.",
            ),
        ),
        Exchange(
            train=(
                "Which bus goes there?",
                "Can I come by bus?",
                "Is there a bus stop?",
                "Which bus do I take?",
            ),
            valid=("What bus goes to the shop?",),
            test=("Is there a bus?", "Which bus stops there?"),
            answers=(
                "Take bus 7 to Mill Street.",
                "Bus 7 stops at Mill Street, just outside.",
            ),
        ),
    ),
)

REPAIR_PRICE = Topic(
    "what a repair costs, and how long it takes",
    ask=Exchange(
        train=(
            "How much is {repair}?",
            "What do you charge for {repair}?",
            "What does {repair} cost?",
            "I need {repair}. What will it cost?",
            "Can you give me a price for {repair}?",
            "What is the price of {repair}?",
            "I would like {repair}, how much is that?",
            "My bike needs {repair}. How much do you charge?",
        ),
        valid=("How much does {repair} cost?", "What would I pay for {repair}?"),
        test=("How much do you charge for {repair}?", "Could you tell me the price of {repair}?"),
        answers=(
            "We charge {price} euros for {repair}.",
            "The price of {repair} is {price} euros.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "How long does that take?",
                "And how long will it take?",
                "When would it be ready?",
                "How long do I have to wait?",
                "Can I wait for it?",
            ),
            valid=("How long would that take?",),
            test=("When will it be ready?", "How long will I have to wait?"),
            answers=(
                "That takes us {time}.",
                "It will be ready in {time}.",
            ),
        ),
        Exchange(
            train=(
                "Are the parts included?",
                "Does that include parts?",
                "Do I pay extra for parts?",
                "Is that with parts?",
            ),
            valid=("Are parts included in the price?",),
            test=("Does the price include parts?", "Do parts cost extra?"),
            answers=(
                "Yes, parts and labour are included.",
                "The price includes parts and labour.",
            ),
        ),
    ),
    slots=(
        {"repair": "a puncture repair", "price": "12", "time": "half an hour"},
        {"repair": "a basic service", "price": "45", "time": "one day"},
        {"repair": "a full service", "price": "95", "time": "three days"},
        {"repair": "a new chain", "price": "32", "time": "one hour"},
        {"repair": "new brake pads", "price": "24", "time": "one hour"},
        {"repair": "a new gear cable", "price": "18", "time": "half an hour"},
        {"repair": "a wheel truing", "price": "20", "time": "one day"},
    ),
)

BOOKING = Topic(
    "booking a repair",
    ask=Exchange(
        train=(
            "Do I need an appointment for a repair?",
            "Can I book a repair?",
            "How do I book a repair?",
            "I want to bring my bike in for repair, do I need an appointment?",
            "Do I have to make an appointment?",
            "Can I just bring my bike in?",
            "Can I bring in my bike without an appointment?",
        ),
        valid=("Should I make an appointment for a repair?", "How can I book a repair?"),
        test=("Do I need to book an appointment?", "Can I bring my bike without booking?"),
        answers=(
            "Small repairs need no appointment, but a service has to be booked by phone.",
            "No appointment is needed for small repairs; only a service is booked by phone.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "What is your phone number?",
                "Which number do I call?",
                "Can I have your number?",
                "What number should I ring?",
            ),
            valid=("What is the phone number?",),
            test=("Could I have your phone number?", "Which number should I call?"),
            answers=("Our phone number: 555 0142.", "You reach us on 555 0142."),
        ),
        Exchange(
            train=(
                "How soon can you take my bike?",
                "When is the next free date?",
                "How long is the waiting list?",
                "When could I bring it?",
            ),
            valid=("When is your next free appointment?",),
            test=("How soon could I bring it?", "What is the next free date?"),
            answers=(
                "At the moment we have free places within a week.",
                "We usually have a free place within a week.",
            ),
        ),
    ),
)

RENTAL = Topic(
    "renting a bike",
    ask=Exchange(
        train=(
            "How much is it to rent {bike}?",
            "What does it cost to rent {bike} for a day?",
            "I would like to rent {bike}.",
            "Can I rent {bike} from you?",
            "Do you rent out {bike}?",
            "We want to hire {bike} for a day.",
            "What does {bike} cost per day to hire?",
        ),
        valid=("How much does it cost to rent {bike}?", "I want to hire {bike}."),
        test=("Could I rent {bike} for a day?", "How much is it to hire {bike}?"),
        answers=(
            "You can rent {bike} for {day} euros a day.",
            "Renting {bike} costs {day} euros a day.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "And for a whole week?",
                "How much is it for a week?",
                "What about a week?",
                "Is there a price for a week?",
                "What would a week cost?",
            ),
            valid=("What does a week cost?",),
            test=("And how much for a week?", "What is the price for a week?"),
            answers=("A week costs {week} euros.", "For a week you pay {week} euros."),
        ),
        Exchange(
            train=(
                "Is a helmet included?",
                "Do I get a helmet with it?",
                "Can I borrow a helmet?",
                "Does it come with a helmet?",
            ),
            valid=("Do you lend helmets too?",),
            test=("Is there a helmet included?", "Can I get a helmet with it?"),
            answers=(
                "Yes, a helmet and a lock are included.",
                "Of course, it comes with a helmet and a lock.",
            ),
        ),
    ),
    slots=(
        {"bike": "a city bike", "day": "15", "week": "70"},
        {"bike": "a mountain bike", "day": "28", "week": "130"},
        {"bike": "a road bike", "day": "35", "week": "160"},
        {"bike": "a tandem", "day": "40", "week": "190"},
        {"bike": "a bike for my child", "day": "9", "week": "40"},
    ),
)

DEPOSIT = Topic(
    "what one needs to rent a bike",
    ask=Exchange(
        train=(
            "Do I have to leave a deposit for a rental?",
            "What do I need to rent a bike?",
            "Is there a deposit on rentals?",
            "How high is the deposit for a rental bike?",
            "How much is the deposit?",
            "Do I need my passport to rent a bike?",
            "What papers do I need for a rental?",
        ),
        valid=("What is the deposit for a rental?", "What should I bring to rent a bike?"),
        test=("Do you take a deposit for rentals?", "What do I have to bring for a rental?"),
        answers=(
            "For a rental we need an identity card and a deposit of 50 euros.",
            "Bring an identity card and a deposit of 50 euros.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "When do I get the deposit back?",
                "Do I get it back?",
                "And when will I get my money back?",
                "Is it paid back?",
            ),
            valid=("When is the deposit paid back?",),
            test=("Will I get the deposit back?", "When do I get it back?"),
            answers=(
                "You get it back as soon as the bike is here again.",
                "We pay it back as soon as the bike is here again.",
            ),
        ),
    ),
)

ADVICE = Topic(
    "which bike to buy",
    ask=Exchange(
        train=(
            "Which bike is best for {use}?",
            "I am looking for a bike for {use}.",
            "What kind of bike do I need for {use}?",
            "I want to buy a bike for {use}.",
            "Can you recommend a bike for {use}?",
            "What would you recommend for {use}?",
            "I need a bike for {use}, what should I buy?",
        ),
        valid=("What kind of bike is good for {use}?", "What should I buy for {use}?"),
        test=("Which bike would you recommend for {use}?", "I would like a bike for {use}."),
        answers=(
            "For {use} I recommend {kind}.",
            "I would take {kind} for {use}.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "How much does one cost?",
                "What do they cost?",
                "And what would that cost me?",
                "What is the price?",
                "How expensive are they?",
            ),
            valid=("How much do they cost?",),
            test=("What does one cost?", "How expensive is that?"),
            answers=("They start at {cost} euros.", "Prices start at {cost} euros."),
        ),
        Exchange(
            train=(
                "Can I try one?",
                "Could I take it for a test ride?",
                "Is a test ride possible?",
                "May I ride it before I buy?",
            ),
            valid=("Can I take a test ride?",),
            test=("Could I try it first?", "May I take one for a test ride?"),
            answers=(
                "Yes, just come in for a test ride.",
                "Of course, a test ride is free and takes half an hour.",
            ),
        ),
    ),
    slots=(
        {"use": "my way to work", "kind": "a light city bike with eight gears", "cost": "600"},
        {"use": "forest trails", "kind": "a mountain bike with front suspension", "cost": "900"},
        {"use": "long fast rides", "kind": "a road bike with narrow tyres", "cost": "1200"},
        {"use": "a trip with luggage", "kind": "a touring bike with two racks", "cost": "1100"},
        {"use": "gravel roads", "kind": "a gravel bike with wide tyres", "cost": "1400"},
    ),
)

SIZE = Topic(
    "frame size",
    ask=Exchange(
        train=(
            "I am {height} tall. What frame size do I need?",
            "Which frame size fits somebody who is {height} tall?",
            "What size of bike should I take if I am {height} tall?",
            "Which frame is right for me at {height}?",
            "What frame do you suggest for a rider of {height}?",
            "I am {height}, which size should I buy?",
        ),
        valid=("What size do I need? I am {height} tall.",),
        test=(
            "Which size do I need if I am {height} tall?",
            "What frame size fits me at {height}?",
        ),
        answers=(
            "At {height} you need frame size {size}.",
            "Frame size {size} fits you at {height}.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Can you measure me in the shop?",
                "Can somebody measure me?",
                "Do you also take measurements?",
                "Could you check it in the shop?",
            ),
            valid=("Will you measure me?",),
            test=("Could you measure me?", "Can you check my measurements in the shop?"),
            answers=(
                "Yes, we measure you for free, it takes ten minutes.",
                "Sure, measuring takes ten minutes and is free.",
            ),
        ),
    ),
    slots=(
        {"height": "160 centimetres", "size": "small"},
        {"height": "172 centimetres", "size": "medium"},
        {"height": "183 centimetres", "size": "large"},
        {"height": "195 centimetres", "size": "extra large"},
    ),
)

ACCESSORIES = Topic(
    "accessories",
    ask=Exchange(
        train=(
            "Do you sell {item}?",
            "I am looking for {item}.",
            "Do you have {item} in stock?",
            "I would like to buy {item}.",
            "Have you got {item}?",
            "Which {item} can you offer?",
            "My bike needs {item}, do you sell those?",
        ),
        valid=("Can I buy {item} in the shop?", "I need {item}."),
        test=("Do you also sell {item}?", "I want to buy {item}."),
        answers=(
            "Yes, we have {item} from {cost} euros.",
            "Of course, {item} cost {cost} euros and more.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Which ones are the best?",
                "Which would you take?",
                "Can you recommend one?",
                "Which one is good?",
            ),
            valid=("Which ones do you recommend?",),
            test=("Which one would you recommend?", "Which are the best?"),
            answers=("Most of our customers choose {best}.", "I would take {best}."),
        ),
        Exchange(
            train=(
                "Can you fit them for me?",
                "Do you mount them too?",
                "Will you put them on my bike?",
                "Could you fit them right away?",
            ),
            valid=("Can you mount them for me?",),
            test=("Could you fit them to my bike?", "Do you also fit them?"),
            answers=(
                "Yes, we do that for free while you wait.",
                "Sure, it is free and you can wait for it.",
            ),
        ),
    ),
    slots=(
        {"item": "helmets", "cost": "40", "best": "the one with a rear light"},
        {"item": "locks", "cost": "25", "best": "a folding lock of one kilogram"},
        {"item": "lights", "cost": "30", "best": "the bright set with a hub dynamo"},
        {"item": "mudguards", "cost": "22", "best": "the long black ones"},
        {"item": "child seats", "cost": "80", "best": "the seat that leans back"},
        {"item": "panniers", "cost": "60", "best": "the waterproof pair"},
    ),
)

RETURNS = Topic(
    "returning goods",
    ask=Exchange(
        train=(
            "Can I return something that I bought?",
            "I want to return an item.",
            "What is your return policy?",
            "How long do I have to return goods?",
            "Can I bring something back if it does not fit?",
            "Do you take things back?",
            "I bought the wrong part, can I return it?",
        ),
        valid=("Can I return an item?", "How many days do I have to return something?"),
        test=("What if I want to return something?", "Can I bring an item back?"),
        answers=(
            "You can return unused goods within 14 days.",
            "We take unused goods back within 14 days.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Do I need the receipt?",
                "I have lost the receipt, is that bad?",
                "What if I have no receipt?",
                "Must I bring the receipt?",
            ),
            valid=("Is the receipt needed?",),
            test=("Do I have to bring the receipt?", "And if I lost the receipt?"),
            answers=(
                "Bring the receipt, or the card you paid with.",
                "We need the receipt, or the card you paid with.",
            ),
        ),
    ),
)

WARRANTY = Topic(
    "warranty",
    ask=Exchange(
        train=(
            "How long is the warranty on a new bike?",
            "Is there a warranty?",
            "What warranty do you give?",
            "Does a new bike come with a warranty?",
            "What does the warranty cover?",
            "Do your bikes have a guarantee?",
            "How many years of warranty do I get?",
        ),
        valid=("Do I get a warranty on my bike?", "How long is the guarantee?"),
        test=("What warranty does a new bike have?", "Is there a guarantee on your bikes?"),
        answers=(
            "Every new bike has five years of warranty on the frame and two on the parts.",
            "You get five years of warranty on the frame and two on the parts.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Does it cover tyres as well?",
                "What about worn tyres?",
                "And the tyres?",
                "Are tyres and chain included?",
            ),
            valid=("Are the tyres included?",),
            test=("Does that cover the tyres?", "What about the tyres?"),
            answers=(
                "No, parts that wear, such as tyres, are not covered.",
                "Sorry, tyres and other parts that wear are not covered.",
            ),
        ),
    ),
)

PAYMENT = Topic(
    "payment",
    ask=Exchange(
        train=(
            "How can I pay?",
            "Do you take credit cards?",
            "Can I pay by card?",
            "Which cards do you accept?",
            "Do you accept cash?",
            "Can I pay in cash?",
            "What payment do you accept?",
        ),
        valid=("Can I pay with a credit card?", "Do you accept cards?"),
        test=("Do you accept credit cards?", "Is it possible to pay by card?"),
        answers=(
            "You can pay in cash, by card or by bank transfer.",
            "We accept cash, cards and bank transfers.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Can I pay in instalments?",
                "Are instalments possible?",
                "Could I pay monthly?",
                "Do you offer instalments?",
            ),
            valid=("Is it possible to pay in instalments?",),
            test=("Could I pay in instalments?", "Do you accept instalments?"),
            answers=(
                "From 500 euros you can pay in ten instalments without interest.",
                "Yes, from 500 euros, in ten instalments without interest.",
            ),
        ),
    ),
)

TRADE_IN = Topic(
    "second-hand bikes",
    ask=Exchange(
        train=(
            "Do you buy second-hand bikes?",
            "Can I sell you my old bike?",
            "Would you take my old bike in part exchange?",
            "I want to get rid of my old bike.",
            "What do you give for a second-hand bike?",
            "Do you take old bikes when I buy a new one?",
        ),
        valid=("Do you take second-hand bikes?", "I would like to sell my old bike."),
        test=("Can I sell my second-hand bike to you?", "Would you buy my old bike?"),
        answers=(
            "We take your old bike in part exchange when you buy a new one.",
            "When you buy a new bike, we take the old one in part exchange.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "How do you value it?",
                "How much would I get?",
                "What would you pay for it?",
                "How much is it worth?",
            ),
            valid=("How much would you pay me for it?",),
            test=("What would I get for it?", "How much would you give me?"),
            answers=(
                "Bring it in and our mechanic makes you an offer.",
                "Our mechanic looks at it and makes you an offer.",
            ),
        ),
        Exchange(
            train=(
                "Do you sell second-hand bikes too?",
                "Can I buy a second-hand one from you?",
                "Have you got any second-hand bikes for sale?",
                "Are there second-hand bikes in the shop?",
            ),
            valid=("Do you have second-hand bikes for sale?",),
            test=("Can I buy second-hand bikes in the shop?", "Do you also sell second-hand ones?"),
            answers=(
                "Yes, second-hand bikes stand upstairs, each with a fresh service.",
                "We have some upstairs, each with a fresh service.",
            ),
        ),
    ),
)

CHAIN_CARE = Topic(
    "caring for the chain",
    ask=Exchange(
        train=(
            "How do I clean my chain?",
            "My chain is dirty, what should I do?",
            "How often should I oil the chain?",
            "My chain squeaks.",
            "How do I look after the chain?",
            "When should I oil my chain?",
            "What is the best way to clean a chain?",
        ),
        valid=("How often do I have to clean the chain?", "How do I oil my chain?"),
        test=("What should I do to clean my chain?", "How often do I oil the chain?"),
        answers=(
            "Wipe the chain with a dry cloth, then put one drop of oil on every link.",
            "Use a dry cloth first, then put one drop of oil on every link.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Which oil should I use?",
                "What oil do you recommend?",
                "Is any oil good?",
                "Can I use cooking oil?",
            ),
            valid=("What oil should I buy?",),
            test=("Which oil do you recommend?", "What oil should I use?"),
            answers=(
                "Take a thin chain oil; we have a small bottle for 8 euros.",
                "A thin chain oil is best, a small bottle costs 8 euros.",
            ),
        ),
        Exchange(
            train=(
                "When do I need a new one?",
                "How do I know that it is worn?",
                "How long does a chain last?",
                "When should I replace it?",
            ),
            valid=("When is a chain worn?",),
            test=("How long will a chain last?", "When do I have to replace it?"),
            answers=(
                "A chain lasts about three thousand kilometres.",
                "Replace it after about three thousand kilometres.",
            ),
        ),
    ),
)

TYRES = Topic(
    "tyre pressure",
    ask=Exchange(
        train=(
            "How much air do I put in the tyres of {bike}?",
            "What pressure do the tyres of {bike} need?",
            "What is the right tyre pressure for {bike}?",
            "Which pressure should I use on {bike}?",
            "How hard should I pump the tyres of {bike}?",
            "I want to pump up {bike}, what pressure is right?",
        ),
        valid=("What tyre pressure does {bike} need?",),
        test=("Which tyre pressure is right for {bike}?", "How much pressure do I need on {bike}?"),
        answers=(
            "Pump the tyres of {bike} to {bar} bar.",
            "For {bike} we suggest {bar} bar.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "Can I use your pump?",
                "Do you have a pump for me?",
                "Could you pump them up for me?",
                "Where do I find a pump?",
            ),
            valid=("Do you have a pump I can use?",),
            test=("Could I use your pump?", "Is there a pump at the shop?"),
            answers=(
                "There is a pump outside the door, day and night.",
                "Yes, use the pump outside the door, day and night.",
            ),
        ),
    ),
    slots=(
        {"bike": "a city bike", "bar": "4"},
        {"bike": "a mountain bike", "bar": "2"},
        {"bike": "a road bike", "bar": "7"},
        {"bike": "a touring bike", "bar": "5"},
        {"bike": "a gravel bike", "bar": "3"},
    ),
)

DELIVERY = Topic(
    "delivery",
    ask=Exchange(
        train=(
            "Do you deliver bikes?",
            "Can you bring the bike to my house?",
            "Is home delivery possible?",
            "Do you deliver to my home?",
            "How much is delivery?",
            "Could you deliver my new bike?",
        ),
        valid=("Can you deliver a bike to my home?", "What does delivery cost?"),
        test=("Could you deliver the bike to my house?", "Do you offer home delivery?"),
        answers=(
            "We deliver within the city for 20 euros.",
            "Within the city, delivery costs 20 euros.",
        ),
    ),
    then=(
        Exchange(
            train=(
                "On which days do you deliver?",
                "When would it come?",
                "Which day would that be?",
                "When do you deliver?",
            ),
            valid=("Which days do you deliver?",),
            test=("On what day would you deliver?", "When would you deliver it?"),
            answers=(
                "Our van drives every Tuesday and Friday.",
                "Every Tuesday and Friday, our van is out then.",
            ),
        ),
    ),
)

TALK = SmallTalk(
    opening=Exchange(
        train=("Hello!", "Hi there.", "Good morning.", "Good afternoon!", "Hey.", "Hello there."),
        valid=("Hi, good morning.",),
        test=("Hi!", "Hello, good afternoon."),
        answers=(
            "Hello and welcome to the bike shop! How can I help you?",
            "Welcome to the bike shop! What can I do for you?",
        ),
    ),
    closing=(
        Exchange(
            train=(
                "Thank you!",
                "Thanks a lot.",
                "Great, thank you very much.",
                "Perfect, thanks.",
                "That helps, thanks.",
                "Okay, thank you.",
            ),
            valid=("Great, thanks.", "Thank you, that helps."),
            test=("Thanks!", "Thank you very much."),
            answers=("You are welcome!", "My pleasure! Anything else?"),
        ),
        Exchange(
            train=(
                "That is all, goodbye.",
                "Bye!",
                "Goodbye, see you soon.",
                "See you later, bye.",
                "No more questions, bye.",
                "I have to go now, goodbye.",
            ),
            valid=("Okay, bye.",),
            test=("Goodbye!", "That is all, bye."),
            answers=("Goodbye, and have a good ride!", "Bye, see you in the shop!"),
        ),
        Exchange(
            train=(
                "Are you a robot?",
                "Am I talking to a human?",
                "Are you a real person?",
                "Is this a machine?",
            ),
            valid=("Are you human?",),
            test=("Am I talking to a robot?", "Are you a machine?"),
            answers=(
                "I am the shop's computer, but my colleagues are human.",
                "I am a computer; if you want a human, call the shop.",
            ),
        ),
    ),
)

TOPICS = (
    HOURS,
    LOCATION,
    REPAIR_PRICE,
    BOOKING,
    RENTAL,
    DEPOSIT,
    ADVICE,
    SIZE,
    ACCESSORIES,
    RETURNS,
    WARRANTY,
    PAYMENT,
    TRADE_IN,
    CHAIN_CARE,
    TYRES,
    DELIVERY,
)
