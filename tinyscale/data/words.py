"""Words of the built-in stories, most frequent first: a word's rank decides its Zipf weight.

One word or phrase an item, ``_`` for a space inside it. ``word:f`` and ``word:m`` give a person's gender,
``base/past`` the two forms of a verb.
"""

HEROES = """
Mia:f Tom:m Anna:f Ben:m Lucy:f Sam:m Emma:f Max:m Sara:f Leo:m Ella:f Jack:m Nora:f Tim:m Rosie:f Finn:m Ruby:f
Jake:m Molly:f Noah:m Zoe:f Adam:m Alice:f Henry:m Clara:f Peter:m Ivy:f Oscar:m Maya:f Luke:m Hannah:f Simon:m Jane:f
David:m Eva:f Paul:m Grace:f Mark:m Kate:f Ethan:m Laura:f Felix:m Tina:f Hugo:m Nina:f Owen:m Julia:f Ryan:m Sophie:f
Carl:m Amy:f Eric:m Mary:f Ned:m Fay:f Joel:m Wendy:f Ian:m Olive:f Ralph:m Dora:f Evan:m Holly:f Miles:m Greta:f
Caleb:m Paula:f Roy:m Iris:f Neil:m Vera:f Alan:m Naomi:f Boris:m Celia:f Martin:m Heidi:f Gus:m Leah:f Stan:m Robin:f
Edgar:m Martha:f Ivan:m Joan:f Conrad:m Edith:f Walter:m Sylvia:f Ernest:m Agnes:f Basil:m Norma:f Cyrus:m Phoebe:f
Duncan:m Ursula:f Rupert:m Flora:f Victor:m Bianca:f Anton:m Elsie:f Quentin:m Matilda:f Barnaby:m Odette:f
"""

FRIENDS = """
Lily:f Bob:m Sue:f Dan:m Bella:f Charlie:m Daisy:f Billy:m Kitty:f Joe:m Poppy:f Fred:m Jenny:f Toby:m Polly:f Rex:m
Betty:f Teddy:m Maggie:f Andy:m Tilly:f Harry:m Penny:f Will:m Abby:f Danny:m Millie:f George:m Carla:f Nick:m Gina:f
Frank:m Lola:f Ron:m Becky:f Steve:m Annie:f Kevin:m Peggy:f Pip:m Susan:f Lenny:m Cathy:f Ted:m Nelly:f Gary:m
Linda:f Ollie:m Hazel:f Rob:m Mabel:f Jasper:m Winnie:f Albert:m Kara:f Dylan:m Stella:f Archie:m Pearl:f Monty:m
Trudy:f Sid:m Bonnie:f Percy:m Dottie:f Alfie:m Marge:f Chester:m Ginny:f Wally:m Fern:f Bruno:m Lottie:f Otis:m
Minnie:f Angus:m Sally:f Rufus:m Tabby:f Clive:m Maud:f Horace:m Esther:f Digby:m Gwen:f Ambrose:m Petra:f Lionel:m
"""

GROWNUPS = """
mom:f dad:m grandma:f grandpa:m mother:f father:m sister:f brother:m aunt:f uncle:m cousin:f teacher:f granny:f
neighbor:m nanny:f godmother:f stepfather:m tutor:m coach:m godfather:m
"""

TRAITS = """
little kind happy brave curious clever young small gentle shy silly cheerful quiet funny friendly lively smart sweet
polite helpful playful careful busy dreamy proud patient loud sleepy lonely honest bold tidy messy merry stubborn lucky
thoughtful eager lazy noisy grumpy generous hungry tall calm tiny jolly restless loyal daring humble hopeful nimble
forgetful cautious sunny chatty bashful sturdy plucky earnest absent-minded
"""

ADJECTIVES = """
red big small blue shiny new old green soft yellow pretty little round tiny pink white long bright golden wooden huge
heavy purple black brown silver strange smooth orange warm clean colorful funny wet broken dusty furry lovely gray
striped magic cold thin sparkly beautiful rusty sharp sticky strong dirty crooked muddy fuzzy flat wide light plain
simple rare special dark curly spotted noisy loose tall short hard empty narrow torn pale fluffy woolen crumpled glassy
painted hollow square folded polished velvet bumpy wrinkled twisted knitted glowing secret fancy dented silky squeaky
cracked patched tidy wobbly ancient borrowed crinkly feathered floppy frayed gleaming knotted leather marbled oval
padded quilted ribbed scratched speckled tangled tattered tasseled varnished woven zigzag
"""

THINGS = """
ball doll book toy_car kite hat box balloon bear boat cup flower key stone bag drum bike truck ring train bell shell
blanket scarf puzzle lamp basket coin rope puppet whistle spoon crayon pillow ribbon bucket button flute necklace wagon
umbrella mirror clock bottle feather guitar glove mask map sock candle picture rocket telescope marble sled shovel
bracelet robot crown jar top paintbrush lantern helmet trumpet card letter string hammer stick yo-yo magnet boot coat
pencil notebook compass fan dice block cap dinosaur brush ladder parachute piggy_bank violin purse shoe tent wand net
sponge sweater teapot tray vase watch wheel wreath xylophone apron backpack badge bead belt binder bonnet bow bowl
brooch cape chain comb cork cushion dustpan easel envelope fiddle flag funnel globe hairpin hammock harmonica hoop jug
kettle locket mitten mug needle ornament paddle pebble pinwheel pipe pouch pulley quilt rake rattle sash saucer scooter
shield skate slipper spinner stamp stool tambourine thimble ticket tongs trinket trophy trowel tunic unicycle
"""

PLACES = """
park garden lake forest river beach hill farm school pond market barn meadow yard bridge playground castle village field
shop library zoo woods cave bakery stream island harbor mountain orchard kitchen fair well road mill station museum dock
church fountain tower valley swamp circus fence greenhouse stable cabin bay canyon cottage creek desert hall inn jungle
lighthouse marsh palace pier quarry ranch shore square theater tunnel vineyard waterfall windmill workshop attic cellar
courtyard crossroads den dunes gate glade grove hedge hilltop hut kennel lagoon lane ledge log_pile maze moor nursery
oak_tree path porch ridge riverbank sandbox shed sundial terrace thicket treehouse wall wharf
"""

ANIMALS = """
dog cat bird rabbit frog bear duck mouse fox squirrel fish owl pony puppy turtle bee kitten butterfly horse cow pig
sheep monkey lion snail elephant goat hen ant deer hedgehog wolf ladybug chicken crab swan crow lizard goose mole spider
lamb parrot beetle robin tiger beaver worm penguin seal donkey otter pigeon raccoon caterpillar toad giraffe badger
dragonfly sparrow zebra whale dolphin hamster camel rooster cricket panda firefly bat magpie moth peacock snake kangaroo
chipmunk weasel starfish heron gull finch newt octopus ferret bison calf crane dove eagle falcon flamingo foal gecko
gopher grasshopper hare hippo jay koala lark llama lobster moose ostrich ox pelican porcupine possum puffin quail rhino
salmon skunk sloth stork tadpole walrus woodpecker wren yak
"""

FOODS = """
apples cake cookies soup bread berries candy carrots pie honey bananas cheese nuts rice ice_cream pancakes eggs grapes
milk corn peaches pears muffins jam popcorn beans noodles cherries pizza butter plums melons lemons oranges toast peas
potatoes pumpkin salad oatmeal sandwiches tomatoes raisins waffles porridge yogurt pudding stew spinach strawberries
dumplings turnips crackers sausages apricots biscuits cabbage celery chestnuts chocolate cucumbers dates figs fudge
gingerbread jelly lentils mangoes marmalade meatballs mushrooms olives onions parsnips peanuts pickles pretzels radishes
scones tarts toffee walnuts
"""

ACTIONS = """
play/played run/ran sing/sang jump/jumped dance/danced read/read draw/drew swim/swam climb/climbed paint/painted
laugh/laughed walk/walked cook/cooked explore/explored dig/dug build_towers/built_towers skip/skipped slide/slid
count_stars/counted_stars splash/splashed whistle/whistled hop/hopped plant_seeds/planted_seeds tell_jokes/told_jokes
chase_leaves/chased_leaves bake/baked roll_down_hills/rolled_down_hills pick_flowers/picked_flowers hide/hid
swing/swung fly_kites/flew_kites clap/clapped spin/spun watch_birds/watched_birds catch_bugs/caught_bugs
look_for_shells/looked_for_shells make_hats/made_hats float_boats/floated_boats fish/fished nap/napped
bang_drums/banged_drums collect_rocks/collected_rocks march/marched gallop/galloped juggle/juggled
blow_bubbles/blew_bubbles ride_ponies/rode_ponies sew/sewed knit/knitted rake_leaves/raked_leaves
feed_ducks/fed_ducks wave_at_boats/waved_at_boats race/raced skate/skated do_puzzles/did_puzzles
pretend_to_fly/pretended_to_fly act_in_plays/acted_in_plays write_letters/wrote_letters yawn/yawned
stack_cups/stacked_cups giggle/giggled tumble/tumbled hum/hummed sketch/sketched
dress_up/dressed_up wash_windows/washed_windows pet_goats/petted_goats wander/wandered carve_wood/carved_wood
daydream/daydreamed gather_acorns/gathered_acorns row/rowed sail/sailed scribble/scribbled shout_riddles/shouted_riddles
snack/snacked sort_buttons/sorted_buttons stomp/stomped stretch/stretched trade_cards/traded_cards tiptoe/tiptoed
twirl/twirled water_plants/watered_plants weave_mats/wove_mats wrestle/wrestled yodel/yodeled
"""

ADVERBS = """
happily slowly quickly softly loudly carefully quietly together gently outside proudly all_day again sadly bravely
kindly for_hours cheerfully nicely excitedly politely in_the_sun eagerly patiently shyly until_dinner wildly calmly
gladly for_a_while hard nervously silently in_circles merrily every_day brightly warmly neatly playfully without_a_care
awkwardly boldly busily clumsily dreamily earnestly fondly gracefully hastily in_the_shade joyfully lazily lightly
nimbly on_tiptoe peacefully sleepily smoothly steadily sweetly tenderly tirelessly under_the_clouds wearily
"""

SAYS = """
said cried called shouted whispered laughed yelled sighed smiled mumbled cheered sobbed sniffed gasped sang
giggled muttered squealed grinned whimpered murmured croaked wailed blurted chirped groaned hissed pleaded stammered
"""

WONDERS = """
asked said wondered whispered cried called begged mumbled murmured
"""

GLAD = """
happy glad proud excited cheerful thankful safe warm calm pleased joyful delighted lucky better hopeful cozy grateful
relieved strong amazed loved thrilled brave peaceful content merry important overjoyed free bubbly comforted dazzled
jolly rested tickled triumphant
"""

SAD = """
sad scared angry upset worried sorry lonely tired afraid cold mad unhappy nervous confused jealous hurt lost bored
grumpy ashamed shy cross frightened gloomy hopeless puzzled weary miserable embarrassed uneasy disappointed helpless
homesick restless shaken troubled unlucky
"""

WEATHER = """
sunny warm rainy windy cold cloudy snowy hot foggy bright stormy cool quiet gray frosty misty lovely chilly breezy wet
clear dark golden icy mild muggy dusty blustery crisp drizzly hazy steamy
"""

HIDDEN = """
under_the_bed behind_the_door in_the_grass under_a_tree behind_a_rock in_the_bushes on_the_roof inside_a_box
under_the_table by_the_fence in_a_hole on_a_branch beside_the_stairs near_the_window behind_the_sofa in_the_sand
under_a_leaf on_a_shelf in_the_mud inside_a_log beneath_the_bench among_the_flowers under_a_blanket behind_the_curtain
in_a_nest between_two_bushes at_the_bottom_of_a_bucket under_the_porch behind_the_barn in_a_pile_of_leaves
inside_an_old_boot on_top_of_the_cupboard in_the_tall_reeds beneath_a_pile_of_hay under_the_rug behind_a_flowerpot
beside_a_puddle in_a_wheelbarrow under_an_upturned_bowl inside_the_piano between_the_cushions
"""

SKILLS = """
ride_a_bike swim read whistle tie_a_knot climb_trees draw_a_horse bake_bread play_the_flute skate count_to_a_hundred
dance fly_a_kite catch_a_ball write_neatly juggle cook sew_a_button row_a_boat do_a_cartwheel tell_the_time sing
milk_a_cow build_a_fire paint_a_face plant_a_garden throw_far spell knit_a_sock balance_on_one_foot fold_a_paper_crane
blow_a_huge_bubble walk_on_stilts drum_a_beat jump_rope make_pottery spin_a_top tame_a_pony hold_a_handstand
read_a_map weave_a_basket yo-yo play_chess
"""

GAMES = """
tag hide-and-seek catch school house pirates hopscotch marbles cards soccer princesses shop doctors leapfrog knights
charades trains explorers checkers astronauts dominoes detectives follow-the-leader dragons musical_chairs kings
farmers circus tug-of-war postmen bowling dinosaurs acrobats bakers statues
"""

VIRTUES = """
share help listen wait try_again tell_the_truth be_kind say_sorry ask_for_help be_brave be_patient work_together
keep_a_promise be_careful forgive say_thank_you never_give_up take_turns be_honest stay_calm look_closely be_gentle
think_first be_yourself care_for_others finish_the_job keep_trying make_friends follow_the_rules smile give
be_fair clean_up learn_from_mistakes practice rest speak_up stay_close trust_a_friend
"""

NATURE = """
trees flowers clouds stars leaves birds waves bees rocks hills mushrooms shells butterflies puddles shadows raindrops
sunbeams snowflakes pinecones ferns acorns daisies ripples feathers tulips branches crickets moss reeds roses fireflies
petals pebbles vines poppies willows cobwebs dewdrops icicles roots lilies thistles bluebells geese icebergs rainbows
"""

SOUNDS = """
bang splash pop crash thump buzz squeak crack whoosh boom ding rustle tap click drip rumble roar hiss clang snap
creak rattle hoot chirp plop thud whistle jingle squelch clatter flutter growl gurgle patter scratch sizzle twang
"""

TIMES = """
One_day One_morning The_next_day That_afternoon One_sunny_day One_evening After_lunch Later_that_day On_Sunday
One_rainy_day Before_dinner One_summer_day On_Saturday Early_one_morning After_breakfast One_winter_day One_spring_day
Last_week On_Monday One_quiet_afternoon On_Friday After_school One_windy_morning At_noon On_Tuesday
Just_before_bedtime One_autumn_day On_Wednesday On_Thursday At_sunrise In_the_middle_of_May
"""

PEOPLE = """
girl boy child farmer baby king baker twin prince princess queen knight sailor doctor fisherman wizard pirate fairy
shepherd clown giant painter postman gardener miller tailor hunter soldier cowboy witch juggler cook beggar captain
carpenter musician mayor nurse poet blacksmith stranger beekeeper cobbler dentist magician merchant piper plumber
potter ranger sculptor toymaker woodcutter weaver acrobat
"""
