"""The plots of the built-in stories, as a weighted grammar in text.

A line ``name exponent:`` begins a rule; each indented line below it is one alternative, and the alternative of rank r
has weight 1 / r^exponent. `` | `` starts a new paragraph. What stands in braces is filled in:

- ``{sad}``         a word drawn from the list ``sad``, or an alternative of the rule ``sad``
- ``{hero=heroes}`` a word drawn and remembered as ``hero``
- ``{hero}``        the word remembered
- ``{things~x}``    a word drawn with ranks that depend on the word remembered as ``x``: what goes with what
- ``{hero.He}``     another form of a word: ``a`` and ``A`` (with its article), ``past``, ``kid``, ``he him his He His``
- ``{?weather}``    a space and the rule ``weather``, or with equal chance nothing
"""

RULES = """
story 0.3:
  {start}{?likes} {owns} {scene} | {loses} {searches} {aside}{?searches_more} {asks} | {finds} {thanks} {ending}{?last}
  {start} {likes} {meets} {owns} | {wants_turn} {refuses}{?mood} {advice}{?aside} | {shares} {plays} {ending}{?last}
  {start} {cannot} {likes} {scene} | {tries} {fails}{?mood} {aside} {advice} | {tries_again} {succeeds} {ending}{?last}
  {start}{?owns} {goes} {scene} | {storm} {hides} {aside}{?mood} {comfort} | {clears} {sees} {ending}{?last}
  {start} {likes} {goes} {scene} | {finds_animal} {animal_trouble} {asks_animal} | {helps}{?aside} {animal_thanks} \
{animal_friend} {ending}
  {start} {meets} {owns} {likes} | {quarrel} {walks_off}{?mood} {aside} {advice} | {sorry} {forgives} {ending}{?last}
  {start} {likes} {hungry}{?scene} | {cooks} {mishap} {aside} {advice} | {eats} {tasty} {ending}{?last}
  {start} {goes} {scene} {likes} | {hears} {afraid} {searches_more}{?aside} | {source} {relief} {plays_source} {ending}
  {start}{?likes} {gift_plan} {scene} | {makes} {making_trouble} {aside} {advice} | {gives} {gift_joy} {ending}{?last}
  {start} {meets} {likes} | {explores} {scene} {discovers} {asks_discovery}{?aside} | {keeps} {home} {ending}{?last}
  {start}{?likes} {moves} {lonely} {scene} | {new_friend} {invites} {aside}{?mood} | {first_game} {home} {ending}{?last}
  {start} {owns}{?scene} {breaks} | {hides_it} {aside} {found_out}{?mood} | {confesses} {mends} {ending}{?last}

start 0.6:
  Once upon a time, there was {traits.a} {hero=heroes.kid} named {hero}.
  {hero=heroes} was {traits.a} {hero.kid} who lived near the {places}.
  Once there was {traits.a} {hero=heroes.kid} called {hero}.
  {times}, {hero=heroes} woke up early and felt {glad}.
  In {x=adjectives.a} house by the {places~x} lived {traits.a} {hero=heroes.kid} named {hero}.
  There was once {traits.a} and {traits} {hero=heroes.kid} whose name was {hero}.
  {hero=heroes} lived with {hero.his} {grownups} and {animals.a} in {adjectives.a} house.
  Long ago, {traits.a} {hero=heroes.kid} named {hero} lived beside the {places}.
  Far away, near {y=adjectives.a} {places~y}, there lived {traits.a} {hero=heroes.kid} called {hero}.
  It was {weather.a} day, and {hero=heroes} was {glad}.
  Everyone at the {places} knew {traits.a} {hero=heroes.kid} named {hero}.
  {hero=heroes} and {hero.his} {grownups} lived at the edge of the {places}.

likes 0.7:
  {hero.He} liked to {do=actions} {adverbs~do}.
  {hero.He} loved to {do=actions} at the {places~do}.
  Every day {hero.he} {do=actions.past} with {hero.his} {grownups}.
  {hero.He} liked {foods} more than anything else.
  Most of all, {hero.he} wanted to {do=actions} {adverbs~do}.
  {hero.His} best friend was {t=traits.a} {animals~t}.
  {hero.He} had {y=adjectives.a} {animals~y} that could {do=actions}.
  In the morning {hero.he} {do=actions.past}, and at night {hero.he} {actions.past}.
  {hero.He} was never {sad} when {hero.he} could {do=actions}.
  People said that {hero.he} was the most {traits} {hero.kid} of all.
  {hero.He} always ate {foods} for lunch and {foods} for dinner.

owns 0.6:
  {hero.He} had {x=adjectives.a} {thing=things~x} that {hero.he} loved very much.
  {hero.His} favorite toy was {x=adjectives.a} {thing=things~x}.
  {times}, {hero.his} {grownups} gave {hero.him} {x=adjectives.a} {thing=things~x}.
  {hero.He} carried {x=adjectives.a} {thing=things~x} everywhere.
  For {hero.his} birthday {hero.he} got {x=adjectives.a} {thing=things~x}.
  At the {places}, {hero.he} bought {x=adjectives.a} {thing=things~x}.
  {hero.He} kept {x=adjectives.a} {thing=things~x} {hidden}.
  The thing {hero.he} liked best was {x=adjectives.a} {thing=things~x}.
  {hero.His} {grownups} had made {hero.him} {x=adjectives.a} {thing=things~x}.

mood 0.6:
  {hero} felt {sad}.
  {hero.He} was {sad} and {sad}.
  That made {hero} very {sad}.
  {hero} did not know what to do.
  A tear ran down {hero.his} cheek.
  {hero} sat down {hidden} and looked {sad}.
  "I feel so {sad}," {says} {hero}.
  {hero.His} heart felt as heavy as {things.a}.
  {hero} thought about it for a long time.

meets 0.6:
  {hero.He} had a friend named {friend=friends}.
  {hero.His} best friend was {traits.a} {friend=friends.kid} named {friend}.
  {times}, {hero.he} met {friend=friends} at the {places}.
  {friend=friends} was {hero.his} neighbor, and they {do=actions.past} {adverbs~do}.
  Next door lived {traits.a} {friend=friends.kid} called {friend}.
  {hero.He} and {hero.his} friend {friend=friends} liked to {do=actions} {adverbs~do}.
  {times}, {traits.a} {friend=friends.kid} named {friend} came to visit.

goes 0.6:
  {times}, {hero.he} went to the {place=places} with {hero.his} {grownups}.
  {times}, {hero.he} walked to the {place=places} to {do=actions}.
  {hero.His} {grownups} took {hero.him} to the {place=places}.
  "Let us go to the {place=places}," {says} {hero.his} {grownups}.
  On {weather.a} day {hero.he} set off for the {place=places}.
  {hero.He} put {foods} in a bag and went to the {place=places}.
  {times}, {hero.he} followed {y=adjectives.a} {animals~y} to the {place=places}.

scene 0.6:
  The {n=nature} looked {adjectives~n} and {adjectives}.
  {hero.He} saw {adjectives} {nature} everywhere.
  All around there were {adjectives} {nature}.
  {y=adjectives.A} {animals~y} watched from {hidden}.
  The air smelled of {foods} and {nature}.
  {hero.He} counted the {nature} along the way.

loses 0.6:
  {times}, the {thing} was gone.
  {times}, {hero} could not find the {thing} anywhere.
  But {hero} went to the {places}, and when {hero.he} came back, the {thing} was gone.
  While {hero} {do=actions.past} at the {places~do}, the {thing} fell out of {hero.his} pocket.
  Then {weather.a} wind came and carried the {thing} away.
  {times}, {t=traits.a} {animals~t} ran off with the {thing}.

searches 0.6:
  {hero.He} looked {hidden} and {hidden}.
  {hero.He} searched {hidden}, but found only {adjectives.a} {things}.
  First {hero.he} looked {hidden}, then at the {places}.
  {hero.He} ran to the {places} and called out {adverbs}.
  "Where can it be?" {hero.he} {wonders}, and looked {hidden}.
  {hero.He} asked {t=traits.a} {beast=animals~t}, but the {beast} knew nothing.

searches_more 0.6:
  Nothing was there but {y=adjectives.a} {things~y}.
  {hero.He} even looked {hidden}.
  There were only {adjectives} {nature}.
  It was {weather} and getting late.
  {y=adjectives.A} {animals~y} ran past.
  {hero.He} heard a {sounds}, but it was only {animals.a}.

asks 0.6:
  "Have you seen my {x} {thing}?" {hero.he} {wonders} to {hero.his} {grownups}.
  {hero.His} {grownups} heard {hero.him} and came to help.
  Then {friend=friends} came by and {says}, "I will help you look."
  "What is wrong?" {wonders} {traits.a} {friend=friends.kid} named {friend}.
  "Do not be {sad}," {says} {hero.his} {grownups}. "We will find it."
  "I have lost my {thing}," {hero} {says} {adverbs}.

finds 0.6:
  They looked {hidden}, and there was the {x} {thing}!
  At last {hero} saw the {thing} {hidden}.
  Just then, {t=traits.a} {animals~t} came along with the {thing}.
  {hero} looked {hidden} once more and found the {thing}.
  The {thing} had been {hidden} all the time!
  "Look {hidden}!" {says} {t=traits.a} {animals~t}, and the {thing} was there.

thanks 0.6:
  {hero} was so {glad} that {hero.he} {actions.past} {adverbs}.
  "Thank you!" {says} {hero}. "I am so {glad}!"
  {hero.He} hugged the {thing} and felt {glad}.
  {hero} promised to keep the {thing} {hidden} from now on.
  To celebrate, they all ate {foods} and {actions.past}.
  {hero} never left the {thing} at the {places} again.

wants_turn 0.6:
  {friend} saw the {x} {thing} and wanted to try it.
  "May I play with your {thing}?" {wonders} {friend}.
  {times}, {friend} wanted the {thing} too.
  "That is {adjectives.a} {thing}," {wonders} {friend}. "Can I have a turn?"
  {friend} had no {thing} and felt {sad}.
  {times}, they {do=actions.past} at the {places~do}, and {friend} asked for the {thing}.

refuses 0.6:
  "No, it is mine!" {hero} {says}.
  But {hero} held the {thing} tight and {says}, "No!"
  {hero} hid the {thing} {hidden}.
  {hero} shook {hero.his} head and walked away {adverbs}.
  "You may break it," {says} {hero}, and {friend} looked {sad}.
  {hero} did not want to share, so {friend} went off to {actions}.

advice 0.6:
  {hero.His} {grownups} {says}, "It is good to {virtues}."
  "You should {virtues}," {says} {hero.his} {grownups} {adverbs}.
  "When I was small, I had to learn to {virtues}," {says} {hero.his} {grownups}.
  {t=traits.A} {animals~t} looked up and {says}, "Always {virtues} and {virtues}."
  Then {hero.he} remembered what {hero.his} {grownups} had told {hero.him}: {virtues}.
  {hero.His} {grownups} gave {hero.him} {foods} and told {hero.him} to {virtues}.
  "If you {virtues}, you will feel {glad}," {hero.his} {grownups} {says}.

shares 0.6:
  So {hero} gave the {thing} to {friend}.
  "Here, you can use my {x} {thing}," {says} {hero}.
  {hero} thought about it and brought the {thing} back to {friend}.
  "I am sorry, {friend}," {hero} {says}. "Let us share the {thing}."
  {hero} let {friend} have the {thing} until noon.
  "We can take turns with the {thing}," {says} {hero} to {friend}.

plays 0.6:
  They played {games} and {actions.past} {adverbs}.
  {friend} was {glad}, and they {do=actions.past} {adverbs~do}.
  The two friends took the {thing} to the {places} and {actions.past}.
  {friend} gave {hero.him} {y=adjectives.a} {things~y} in return.
  Then {friend} shared some {foods} with {hero}.
  All day long they played {games}, and both were {glad}.

cannot 0.6:
  {hero.He} wanted to learn to {skill=skills}.
  {hero.He} could {do=actions}, but {hero.he} could not {skill=skills}.
  {hero.His} {grownups} could {skill=skills}, and {hero.he} wanted to do it too.
  More than anything, {hero.he} wished to {skill=skills}.
  All the other children could {skill=skills}.
  {times}, {hero.he} saw {traits.a} {people} at the {places} who could {skill=skills}.

tries 0.6:
  {times}, {hero} went to the {places} to practice.
  {hero} took {adjectives.a} {things} and began.
  {hero} tried {adverbs} and then {adverbs}.
  "I can do it," {says} {hero}, and started {adverbs}.
  {hero} asked {friend=friends} to show {hero.him} how.
  For a whole {weather} day, {hero} tried.

fails 0.6:
  But there was a {sounds}, and {hero.he} fell down.
  It was hard, and {hero.he} felt {sad}.
  {hero.He} tried and tried, but it did not work.
  {t=traits.A} {animals~t} laughed at {hero.him}.
  {hero.He} knocked over {y=adjectives.a} {things~y} with a {sounds}.
  "This is too hard," {hero.he} {says} {adverbs}.
  Everything ended up {hidden}.

tries_again 0.6:
  So {hero} took a deep breath and tried again.
  {times}, {hero} went back to the {places}.
  {hero} practiced {adverbs} every day.
  {hero} {says}, "I will not give up!"
  With the help of {t=traits.a} {animals~t}, {hero} tried once more.
  {hero} ate some {foods} and began again {adverbs}.

succeeds 0.6:
  This time {hero.he} could {skill}!
  At last {hero.he} knew how to {skill}, and {hero.he} felt {glad}.
  "Look, I can {skill}!" {hero.he} {says}.
  Now {hero.he} could {skill} better than anyone at the {places}.
  {hero.His} {grownups} clapped and {says}, "You can {skill}!"
  Soon {hero.he} taught {traits.a} {people} how to {skill}.

storm 0.6:
  At the {place} the sky turned {adjectives} and {adjectives}.
  Suddenly it became {weather} and {weather} at the {place}.
  Then there was a loud {sounds}, and rain fell on the {place}.
  {weather.A} storm came over the {place}.
  The wind blew {y=adjectives.a} {things~y} across the {place}.
  "A storm!" {says} {hero}, and the {nature} began to shake.

hides 0.6:
  {hero} hid {hidden}.
  {hero} and {t=traits.a} {animals~t} hid {hidden}.
  {hero} ran {adverbs} and crawled in {hidden}.
  {hero} held {y=adjectives.a} {things~y} over {hero.his} head.
  {hero} was {sad} and waited {hidden}.
  With a {sounds}, {adjectives.a} branch fell, and {hero} jumped.

comfort 0.6:
  {hero.His} {grownups} held {hero.his} hand and {says}, "It will pass."
  "Do not be {sad}," {says} {t=traits.a} {animals~t}.
  To feel {glad}, {hero.he} thought of {nature} and {foods}.
  {hero.He} sang a song about {y=adjectives.a} {animals~y}.
  "Storms bring {nature}," {says} {hero.his} {grownups} {adverbs}.
  {hero.He} ate some {foods} and waited.

clears 0.6:
  After a while, the {place} was {weather} again.
  At last the sun came out over the {place}.
  Then the rain stopped, and the {nature} shone.
  Soon the clouds went away, and {hero} felt {glad}.
  When it was over, {hero} ran out and {actions.past} {adverbs}.
  The storm left the {place} {adjectives} and {adjectives}.

sees 0.6:
  There was a rainbow over the {nature}.
  {hero} splashed in the puddles with {t=traits.a} {animals~t}.
  {hero} found {y=adjectives.a} {things~y} {hidden}.
  "Look at the {adjectives} {nature}!" {says} {hero}.
  All the {nature} were {adjectives} and {adjectives}.
  {hero} and {hero.his} {grownups} {do=actions.past} {adverbs~do} on the way home.

finds_animal 0.6:
  There {hero.he} saw {pt=traits.a} {pet=animals~pt} {hidden}.
  At the {place}, {pt=traits.a} {pet=animals~pt} was crying {adverbs}.
  {hero} heard a {sounds} and found {pt=traits.a} {pet=animals~pt} {hidden}.
  Near the {nature} sat {pt=traits.a} {pet=animals~pt}.
  "Help!" {says} {pt=traits.a} {pet=animals~pt} from {hidden}.
  On the way, {hero.he} met {pt=traits.a} {pet=animals~pt} who looked {sad}.

animal_trouble 0.6:
  The {pet} was stuck and could not {actions}.
  The {pet} had lost its {y=adjectives} {things~y}.
  The {pet} was hungry and wanted {foods}.
  Its leg was caught in {y=adjectives.a} {things~y}.
  The {pet} had no home and slept {hidden}.
  It was {sad} because nobody wanted to {actions} with it.
  {weather.A} storm had blown its house away.

asks_animal 0.6:
  "Can you help me?" {wonders} the {pet}.
  "Do not worry," {says} {hero}. "I will help you."
  {hero} was a bit {sad}, but {hero.he} wanted to help.
  "Please stay with me," the {pet} {says} {adverbs}.
  {hero} called {hero.his} {grownups} and {says}, "We must {virtues}!"
  "Why are you so {sad}?" {hero} {wonders} to the {pet}.

helps 0.6:
  So {hero.he} brought {y=adjectives.a} {things~y} and helped the {pet}.
  {hero} worked {adverbs} until the {pet} was free.
  {hero} gave the {pet} some {foods} and a place to sleep.
  With {y=adjectives.a} {things~y}, {hero} and {hero.his} {grownups} helped the {pet}.
  {hero} carried the {pet} to the {places} {adverbs}.
  {hero} built {adjectives.a} little house for the {pet} {hidden}.

animal_thanks 0.6:
  "Thank you," {says} the {pet} {adverbs}.
  The {pet} was so {glad} that it {actions.past}.
  The {pet} gave {hero} {y=adjectives.a} {things~y}.
  "You are very {traits}," {says} the {pet}.
  It showed {hero} where the {adjectives} {nature} were.

animal_friend 0.6:
  From then on, {hero} and the {pet} were friends.
  Every day, the {pet} came to {do=actions} with {hero}.
  {hero} named it {friends} and took it home.
  Now the {pet} and {hero} {do=actions.past} {adverbs~do}.
  {hero} waved, and the {pet} went home to the {places}.
  After that, {hero} was never {sad} at the {place}.

quarrel 0.6:
  {times}, {hero} and {friend} both wanted the {x} {thing}.
  {times}, they played {games}, and {friend} broke the {thing}.
  "You took my {thing}!" {says} {hero} to {friend}.
  {hero} wanted to play {games}, but {friend} wanted to play {games}.
  {friend} laughed at the {thing} and called it {adjectives}.
  They pulled at the {thing} until there was a {sounds}.

walks_off 0.6:
  {friend} went home and was {sad}.
  "I do not want to play with you," {friend} {says}.
  {hero} said something mean and ran to the {places}.
  For days they did not {actions} together.
  {hero} went to sit {hidden}, and {friend} sat {hidden}.
  {friend} threw {y=adjectives.a} {things~y} on the ground and left.

sorry 0.6:
  {times}, {hero} went to see {friend}.
  {hero} picked some {adjectives} {nature} for {friend}.
  "I am sorry, {friend}," {says} {hero} {adverbs}.
  {hero} wrote a note to {friend} and left it {hidden}.
  {hero} took {y=adjectives.a} {things~y} and gave it to {friend}.
  Then {friend} came back with {foods} and {says}, "I am sorry."

forgives 0.6:
  "I am sorry too," {says} {friend}, and they hugged.
  They fixed the {thing} together and felt {glad}.
  {friend} smiled, and they played {games} with the {thing}.
  "Let us be friends again," {friend} {says}.
  Both were {glad}, and they {do=actions.past} {adverbs~do}.
  The two friends sat {hidden} and ate {foods}.

hungry 0.6:
  {times}, {hero.he} wanted to make {food=foods} for {hero.his} {grownups}.
  {times}, {hero.he} was hungry for {food=foods}.
  {hero.He} and {hero.his} {grownups} wanted to eat {food=foods}.
  "Can we have {food=foods}?" {hero.he} {wonders} to {hero.his} {grownups}.
  {hero.His} {grownups} needed {food=foods} for a party at the {places}.
  {times}, {traits.a} {animals} came to the door and asked for {food=foods}.

cooks 0.6:
  {hero} took {y=adjectives.a} {things~y} and some {foods}.
  {hero} mixed {foods} with {foods} and stirred {adverbs}.
  First {hero.he} went to the {places} to get {foods}.
  {hero} put on {adjectives.a} apron and got to work.
  {hero} looked for {foods}, but there were only {foods}.
  "I can make it myself," {says} {hero} {adverbs}.

mishap 0.6:
  But with a {sounds}, everything fell on the floor.
  Then {t=traits.a} {animals~t} ate all the {foods}.
  The smell of {foods} filled the room, and something burned.
  Oh no, {hero.he} had put {foods} in it!
  It looked {adjectives} and {adjectives}.
  There was a {sounds}, and smoke came out.
  It tasted so bad that {t=traits.a} {animals~t} ran away.

eats 0.6:
  So {hero} started again and made {adjectives} {food}.
  {friend=friends} came and helped {hero} with the {food}.
  Together they made the {food} {adverbs}.
  {hero} added {foods}, and the {food} smelled good.
  This time {hero} made the {food} with {hero.his} {grownups}.
  They put the {food} on {adjectives.a} plate.

tasty 0.6:
  "Yum!" {says} {hero}. "It is the best in the world."
  Everyone had some and felt {glad}.
  They ate it {adverbs} and then {actions.past}.
  Even {t=traits.a} {animals~t} wanted a bite.
  {hero.He} saved a piece for {traits.a} {people} at the {places}.
  "Next time, let us make {foods}," {hero.he} {says}.

hears 0.6:
  Suddenly, {hero} heard a {sound=sounds} from {hidden}.
  At the {place}, something went {sound=sounds}.
  There was a strange {sound=sounds} near the {nature}.
  "What was that?" {wonders} {hero}. It went {sound=sounds} again.
  When {hero} {actions.past}, there came a {sound=sounds}.
  In the dark, {hero} heard {adjectives.a} {sound=sounds}.

afraid 0.6:
  {hero.He} was {sad} and wanted to go home.
  Maybe it was {t=traits.a} {animals~t}!
  {hero.His} knees began to shake.
  {hero.He} took {y=adjectives.a} {things~y} and went closer {adverbs}.
  "Who is there?" {hero.he} {wonders} {adverbs}.
  {hero.He} wanted to {virtues}, but {hero.he} was {sad}.
  {hero.He} hid {hidden} and waited.

source 0.6:
  But it was only {pt=traits.a} {pet=animals~pt} that made the {sound}.
  Then {hero} saw {pt=traits.a} {pet=animals~pt} with {y=adjectives.a} {things~y}.
  {hero} looked {hidden}, and there was {pt=traits.a} {pet=animals~pt}.
  Out came {pt=traits.a} {pet=animals~pt}, going {sound}.
  The {sound} came from {pt=traits.a} {pet=animals~pt} {hidden}.
  {hero} lifted {y=adjectives.a} {things~y} and found {pt=traits.a} {pet=animals~pt}.

relief 0.6:
  {hero} laughed and felt {glad}.
  "Oh, it is just {animals.a}, nothing else," {says} {hero.his} {grownups}.
  "You scared me!" {hero} {says}.
  "I am sorry," {says} the {pet}. "I was {sad}."
  "Hello, {pet}," {says} {hero} {adverbs}.
  The {pet} was more {sad} than {hero} was.

plays_source 0.6:
  They {do=actions.past} {adverbs~do} until it was dark.
  {hero} gave the {pet} some {foods}.
  The {pet} showed {hero} how to {skills}.
  Together they played {games} at the {place}.
  The {pet} took {hero} to see the {adjectives} {nature}.
  After that, {hero} was not afraid of a {sound} any more.

gift_plan 0.6:
  {hero.His} {grown=grownups} was {sad}, so {hero.he} wanted to make a gift.
  Soon it was the birthday of {hero.his} {grown=grownups}.
  {hero.He} wanted to give {hero.his} {grown=grownups} something {adjectives}.
  {times}, {hero.he} planned a party for {hero.his} {grown=grownups}.
  {hero.He} wished to thank {hero.his} {grown=grownups} for the {foods}.
  {hero.His} {grown=grownups} had to stay in bed for days.

makes 0.6:
  {hero} decided to make {x=adjectives.a} {thing=things~x}.
  "I will make {x=adjectives.a} {thing=things~x}," {hero.he} {says}.
  With some {nature} {hero} made {x=adjectives.a} {thing=things~x}.
  {hero} found {x=adjectives.a} {thing=things~x} at the {places}.
  {times}, {hero} traded {foods} for {x=adjectives.a} {thing=things~x}.
  {friend=friends} helped {hero} to paint {x=adjectives.a} {thing=things~x}.

making_trouble 0.6:
  But {t=traits.a} {animals~t} sat on it with a {sounds}.
  It did not look right, and {hero.he} felt {sad}.
  Then the {thing} broke, and {hero.he} was {sad}.
  It fell into the {places} and got {adjectives}.
  The {thing} was too {adjectives}, so {hero.he} began again.
  {hero.He} worked {adverbs}, but it took a long time.

gives 0.6:
  At last {hero} gave the {thing} to {hero.his} {grown}.
  "This {thing} is for you," {says} {hero}.
  {hero} put the {thing} {hidden} as a surprise.
  {times}, {hero.his} {grown} opened the box and saw the {thing}.
  {hero} wrapped the {x} {thing} in {adjectives} paper.
  "Close your eyes," {hero} {says}, and held out the {thing}.

gift_joy 0.6:
  {hero.His} {grown} was {glad} and hugged {hero.him}.
  "It is the best {thing} in the world!" {says} {hero.his} {grown}.
  {hero.His} {grown} took the {thing} to the {places} every day.
  They ate {foods} together and {actions.past}.
  {hero.His} {grown} kept it {hidden} for many years.
  "You are so {traits}," {says} {hero.his} {grown} {adverbs}.

explores 0.6:
  {times}, {hero} and {friend} went to explore the {place=places}.
  {times}, the two friends {do=actions.past} at the {place=places}.
  "Let us look for {nature} at the {place=places}," {says} {friend}.
  {hero} and {friend} packed {foods} and walked to the {place=places}.
  {friend} knew a secret way to the {place=places}.
  They followed {t=traits.a} {animals~t} to the {place=places}.

discovers 0.6:
  {hidden.Cap}, {hero} found {x=adjectives.a} {thing=things~x}.
  {friend} pointed {hidden}, and there was {x=adjectives.a} {thing=things~x}.
  With a {sounds}, {x=adjectives.a} {thing=things~x} fell down.
  {t=traits.A} {animals~t} was sitting on {x=adjectives.a} {thing=things~x}.
  In the middle of the {nature} they saw {x=adjectives.a} {thing=things~x}.
  {hero} dug {adverbs} and found {x=adjectives.a} {thing=things~x}.

asks_discovery 0.6:
  "Whose {thing} is it?" {wonders} {friend}.
  "It must be magic," {hero} {says} {adverbs}.
  {friend} wanted to keep it, but {hero} was not sure.
  "It belongs to {traits.a} {animals}," {says} {friend}.
  When {hero} touched it, it went {sounds}.
  Inside it was {adjectives.a} note about {foods}.

keeps 0.6:
  They took the {thing} to {hero.his} {grownups}.
  {hero} gave the {thing} to {t=traits.a} {animals~t} who had lost it.
  They hid the {thing} {hidden} so that nobody would find it.
  {friend} {says}, "You can have the {thing}, because you are so {traits}."
  They used the {thing} to {actions} at the {place}.
  "Let us leave the {thing} here," {says} {hero}, "for {traits.a} {people}."

home 0.6:
  In the evening {hero} walked home and felt {glad}.
  {hero} and {friend} ate {foods} and went to bed.
  At home {hero} told {hero.his} {grownups} about {friend}.
  They went home {adverbs}, tired but {glad}.
  That night {hero} dreamed of {adjectives} {nature}.
  {friend} and {hero} agreed to {actions} the next day.

moves 0.6:
  {times}, {hero.he} moved to {x=adjectives.a} house near the {place=places~x}.
  {hero.He} had a new school by the {place=places}.
  {hero.His} {grownups} had found work at the {place=places}.
  {times}, {hero.his} family came to live by the {place=places}.
  It was {hero.his} first day at the {place=places}.

lonely 0.6:
  {hero.He} knew nobody there but {traits.a} {animals}.
  {hero.He} was {sad} because {hero.he} had no friends.
  The other children played {games}, but {hero.he} just watched.
  {hero.He} sat {hidden} with {y=adjectives.a} {things~y}.
  All {hero.he} had was {y=adjectives.a} {things~y}.
  "Nobody wants to {actions} with me," {hero.he} {says}.

new_friend 0.6:
  Then {traits.a} {friend=friends.kid} named {friend} came over.
  {times}, {hero} saw {friend=friends} {hidden}.
  A {friend=friends.kid} with {y=adjectives.a} {things~y} stopped. It was {friend}.
  "Hello, I am {friend=friends}," {says} {traits.a} {friend.kid}.
  At the {place}, {friend=friends} dropped {y=adjectives.a} {things~y}, and {hero} picked it up.
  {times}, {friend=friends} brought some {foods} to the door.

invites 0.6:
  "Do you want to play {games}?" {wonders} {friend}.
  "My name is {hero}," {hero.he} {says} {adverbs}.
  "Come, I will show you the {nature}," {friend} {says}.
  {friend} liked to {actions} too.
  "I am {sad} too," {friend} {says}. "Let us be friends."
  {hero} wanted to {virtues}, so {hero.he} said yes.

first_game 0.6:
  They went to the {place} and played {games}.
  {friend} taught {hero} to {skills}.
  {hero} and {friend} {do=actions.past} {adverbs~do}.
  They shared {foods} and told stories about {traits.a} {animals}.
  {hero} showed {friend} {y=adjectives.a} {things~y}.
  First they {actions.past}, and then they {actions.past}.

breaks 0.6:
  {times}, {hero.he} borrowed {z=adjectives.a} {other=things~z} from {friend=friends} and broke it.
  {times}, {hero.he} {do=actions.past} in the house and broke {z=adjectives.a} {other=things~z}.
  With a {sounds}, {hero.he} dropped {z=adjectives.a} {other=things~z}.
  While {hero.he} played {games}, {z=adjectives.a} {other=things~z} fell and broke.
  {hero.His} {thing} hit {z=adjectives.a} {other=things~z} with a {sounds}.
  {times}, {hero.he} left {z=adjectives.a} {other=things~z} in the rain.

hides_it 0.6:
  {hero} was {sad} and hid the {other} {hidden}.
  "It was the {animals}," {hero} {says}.
  {hero} put the {other} {hidden} and went to {actions}.
  {hero} told nobody and ate {foods} instead.
  {hero} tried to fix the {other} with {adjectives.a} {things}.

found_out 0.6:
  {times}, {hero.his} {grownups} asked about it.
  But {t=traits.a} {animals~t} found it.
  "What happened here?" {wonders} {hero.his} {grownups}.
  {hero.His} {grownups} looked {hidden} and saw it.
  {hero.He} felt {sad} and could not {actions}.

confesses 0.6:
  "I broke the {other}," {hero} {says} {adverbs}. "I am sorry."
  In the end {hero} told {hero.his} {grownups} the truth.
  {hero} cried and {says}, "It was me."
  {hero} knew that it is best to {virtues}.
  "Please do not be {sad}," {says} {hero}, and told everything.

mends 0.6:
  {hero.His} {grownups} hugged {hero.him} and {says}, "Thank you for being {traits}."
  Together they mended the {other} with {adjectives.a} {things}.
  {hero.He} gave away {hero.his} {x} {thing} to make it good.
  They went to the {places} and got {z=adjectives.a} {other=things~z}.
  "Everyone makes mistakes," {says} {hero.his} {grownups} {adverbs}.
  The {other} was {adjectives} now, but {hero.he} felt {glad}.

aside 0.5:
  {y=adjectives.A} {things~y} lay beside {z=adjectives.a} {things~z}.
  {t=traits.A} {animals~t} was eating {foods} {hidden}.
  Somewhere {t=traits.a} {animals~t} went {sounds}, and {t=traits.a} {animals~t} answered.
  There was {y=adjectives.a} {things~y} {hidden} and {z=adjectives.a} {things~z} {hidden}.
  Not far away, {t=traits.a} {people~t} was looking for {y=adjectives.a} {things~y}.
  {t=traits.A} {people~t} came from the {places}, carrying {foods} and {foods}.
  The {places} was {adjectives} that day, and the {n=nature} were {adjectives~n}.
  Some children played {games} with {y=adjectives.a} {things~y} and {z=adjectives.a} {things~z}.
  {hero.He} had {y=adjectives.a} {things~y} in one hand and some {foods} in the other.
  In {hero.his} pocket there was {y=adjectives.a} {things~y} and {things.a}.
  {t=traits.A} {people~t} told {hero.him} about {t=traits.a} {animals~t} that could {actions}.
  It smelled of {foods}, {foods} and {foods}.
  A cart with {foods} rolled by, and {t=traits.a} {animals~t} {actions.past} behind it.
  {hero.His} {grownups} had told {hero.him} about {t=traits.a} {people~t} who lived {hidden}.
  Two {adjectives} birds sat on {y=adjectives.a} {things~y} and sang {adverbs}.
  {hero.He} thought of {t=traits.a} {people~t} who ate only {foods}.

ending 0.5:
  From that day on, {hero} always tried to {virtues}.
  {hero} learned that it is good to {virtues}.
  And they all {actions.past} {adverbs} ever after.
  {hero} fell asleep with a smile and dreamed of {y=adjectives.a} {animals~y}.
  It was the most {adjectives} day of all.
  The end of this story is {adjectives}, like {foods}.
  And {hero} was {glad} for the rest of the day.
  That night, {hero.he} ate {foods} and went to bed early.
  "I love you," {says} {hero.his} {grownups}, and turned off the light.
  {hero} could not wait to {do=actions} the next day.
  After that, everyone at the {places} knew how to {virtues}.
  And if you go to the {places}, you may still see the {adjectives} {nature}.

last 0.5:
  {times} they all had {foods}, and {t=traits.a} {people~t} played on {y=adjectives.a} {things~y}.
  Even {t=traits.a} {animals~t} came to see it.
  Only {t=traits.a} {people~t} was still {sad}.
  Somewhere {t=traits.a} {animals~t} went {sounds}.
  And what became of the {y=adjectives} {things~y}? It is still {hidden}.
  Next time you eat {foods}, think of {hero}.
  {t=traits.A} {people~t} wrote it all down in {y=adjectives.a} book.
  The {nature} were {adjectives}, and the night was {weather}.
"""
