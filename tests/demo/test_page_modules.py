"""Modules of the page with node alone: what they do with answers, without a browser."""

from __future__ import annotations

from pathlib import Path

from page_modules import run_by_node

PARTS = (Path(__file__).parents[1] / "helpers" / "page_parts.js").as_uri()


def check(script: str) -> None:
    """Run a module beside the page's own; it throws where something is wrong."""
    head = f"""
        import assert from "node:assert/strict";
        import {{ element, page, settled, target }} from "{PARTS}";
    """
    run_by_node(head + script)


def test_a_verdict_on_a_range_counts_for_the_frames_of_the_track() -> None:
    check("""
        import { judgeTool } from "PAGE/judge.js";
        const { player, server } = page([target(1, 8, 19, 20)]);
        const changes = [];
        const { judge } = judgeTool(player, server, { change: (_, change) => changes.push(...change) });
        player.setRange(0, 10);
        judge("both");
        assert.deepEqual(Object.keys(player.target.verdicts.frames), ["8", "9", "10"]);
        assert.deepEqual(changes, [{ first: 0, last: 10, verdict: "both", note: null }]);
    """)


def test_a_verdict_before_the_first_picture_counts_for_the_frame_that_comes() -> None:
    check("""
        import { judgeTool } from "PAGE/judge.js";
        const { player, server } = page([target(1, 8, 19, 20)]);
        const changes = [];
        const { judge } = judgeTool(player, server, { change: (_, change) => changes.push(...change) });
        Object.assign(player, { frame: -1, begin: 8 });
        judge("both");
        assert.deepEqual(Object.keys(player.target.verdicts.frames), ["8"]);
        assert.deepEqual(changes, [{ first: 8, last: 8, verdict: "both", note: null }]);
    """)


def test_loaded_verdicts_stay_with_the_target_that_they_were_loaded_for() -> None:
    check("""
        import { judgeTool } from "PAGE/judge.js";
        const { player, server, asked, uploads } = page([target(1, 0, 3, 4), target(2, 0, 3, 4)]);
        judgeTool(player, server, { change() {} });
        uploads.verdicts(["verdicts.json"]);
        player.choose(1);
        const verdicts = { frames: { 2: { verdict: "both", note: "" } } };
        asked[0].answer({ verdicts });
        await settled();
        const [first, second] = player.run.targets;
        assert.equal(first.verdicts, verdicts);
        assert.deepEqual(second.verdicts.frames, {});
    """)


TRUTH = """
    import { truthTool } from "PAGE/truth.js";
    const { player, server, asked, uploads, find } = page([target(1, 0, 3, 4), target(2, 0, 3, 4)]);
    truthTool(player, server);
    player.tool = "truth";
    const figures = (auc) => ({ branches: { fused: { auc } }, notes: [], thresholds: [], frames: [0] });
    const shown = () => find(".lt-truth-result").text;
    uploads.truth(["truth.txt"]);
"""


def test_figures_stay_with_the_target_that_was_scored() -> None:
    check(
        TRUTH
        + """
        player.choose(1);
        asked[0].answer(figures(0.952));
        await settled();
        assert.equal(shown(), "");
        player.choose(0);
        assert.match(shown(), /0\\.952/);
    """
    )


def test_the_truth_of_one_clip_is_not_compared_with_the_next() -> None:
    check(
        TRUTH
        + """
        asked[0].answer({ objects: ["1", "2"] });
        await settled();
        const object = find(".lt-truth-object");
        assert.equal(object.parentElement.hidden, false);
        player.video.removeAttribute = () => {};
        const { targets } = player.run;
        player.close();
        player.open({ key: "another clip", targets, exports: [], bundle: null });
        player.choose(0);
        assert.equal(object.parentElement.hidden, true);
        find(".lt-truth-pixel").listeners.change();
        assert.equal(asked.length, 1);
    """
    )


def test_figures_of_a_track_that_is_decided_anew_are_asked_for_again() -> None:
    check(
        TRUTH
        + """
        asked[0].answer(figures(0.952));
        await settled();
        player.emit("track"); // a verdict: nothing new
        assert.equal(asked.length, 1);
        player.tool = "whatif";
        player.target.source = ["tracker"];
        player.emit("track");
        assert.equal(shown(), "");
        assert.equal(asked.length, 1); // nobody sees them
        player.tool = "truth";
        player.emit("tool");
        player.emit("track");
        assert.deepEqual(asked.slice(1).map(({ content }) => content.paths), [["truth.txt"]]);
        asked[1].answer(figures(0.476));
        await settled();
        assert.match(shown(), /0\\.476/);
    """
    )


def test_the_agreement_of_tracks_that_are_decided_anew_is_asked_for_again() -> None:
    check("""
        import { wordsTool } from "PAGE/words.js";
        const { player, server, asked, find } = page([target(1, 0, 3, 4), target(2, 0, 3, 4)]);
        wordsTool(player, server, { frameCanvas: {}, paintTrack() {} });
        player.frame = -1; // no picture yet
        player.tool = "words";
        player.choose(0);
        const matrix = (value) => ({ agreement: { matrix: [[1, value], [value, 1]], targets: [1, 2] } });
        asked[0].answer(matrix(0.91));
        await settled();
        assert.match(find(".lt-matrix").text, /0\\.91/);
        player.emit("track");
        assert.equal(asked.length, 1);
        player.tool = "whatif";
        player.target.source = ["tracker"];
        player.emit("track");
        assert.equal(find(".lt-matrix").text, "");
        player.tool = "words";
        player.emit("tool");
        asked[1].answer(matrix(0.12));
        await settled();
        assert.match(find(".lt-matrix").text, /0\\.12/);
    """)


def test_other_settings_stay_with_their_target_and_take_its_sentence_away() -> None:
    check("""
        import { whatIfTool } from "PAGE/whatif.js";
        const { player, server, asked, click } = page([target(1, 0, 3, 4), target(2, 0, 3, 4)]);
        whatIfTool(player, server);
        const [first, second] = player.run.targets;
        const [recorded, others] = [first.source, second.source];
        const numbers = { settings: {}, changed: 4, notes: [] };
        const answer = (source, what_if) => ({ ...numbers, columns: { source }, what_if });
        first.what_if = false;
        first.notes = second.notes = [];
        click("reset"); // the answers are all alike: only what they say differs
        player.choose(1);
        asked[0].answer(answer(["tracker"], true));
        await settled();
        assert.deepEqual([first.source, second.source], [["tracker"], others]);
        assert.deepEqual([first.outcome, second.outcome], [null, "2-found"]);
        player.choose(0);
        click("reset");
        asked[1].answer(answer(recorded, false));
        await settled();
        assert.equal(first.outcome, "1-found");
    """)


def test_settings_that_wait_are_sent_for_the_target_that_they_were_chosen_for() -> None:
    check("""
        import { whatIfTool } from "PAGE/whatif.js";
        const targets = [target(1, 0, 3, 4), target(2, 0, 3, 4)];
        const { player, server, asked, find } = page(targets, [{ name: "lost" }]);
        whatIfTool(player, server);
        const [, slider] = find(".lt-settings").children[0].children;
        for (const value of ["0.2", "0.3"]) {
          slider.value = value;
          slider.listeners.input();
        }
        player.choose = (active) => (player.active = active); // without the words of the tool
        player.choose(1);
        asked[0].answer(null);
        await settled();
        const sent = asked.map(({ content }) => [content.run, content.target, content.settings]);
        assert.deepEqual(sent, [["run", 1, { lost: 0.2 }], ["run", 1, { lost: 0.3 }]]);
        asked[1].answer(null);
        process.exit(); // not after the longest wait for an answer
    """)


WHAT_IF = """
    import { mock } from "node:test";
    import { whatIfTool } from "PAGE/whatif.js";
    mock.timers.enable({ apis: ["setTimeout"] });
    const done = () => new Promise(setImmediate); // `settled` waits for a timer
    const settings = [{ name: "lost" }, { name: "margin" }];
    const { player, server, asked, click, find } = page([target(1, 0, 3, 4)], settings);
    Object.assign(player.target, { notes: [], settings: { lost: 0.1, margin: 0.5 } });
    player.target.recorded = player.target.settings;
    whatIfTool(player, server);
    const set = (place, value) => {
      const [, slider] = find(".lt-settings").children[place].children;
      slider.value = value;
      slider.listeners.input();
    };
    const sent = () => asked.map(({ content }) => content.settings);
    const answer = (number) => {
      const settings = asked[number].content.settings || player.target.recorded;
      asked[number].answer({ columns: {}, settings, what_if: true, changed: number, notes: [] });
      return done();
    };
"""


def test_a_reset_and_other_settings_count_in_the_order_in_which_they_were_chosen() -> None:
    check(
        WHAT_IF
        + """
        set(0, "0.2");
        set(1, "0.6"); // before the first is answered
        await answer(0);
        assert.deepEqual(sent(), [{ lost: 0.2, margin: 0.5 }, { lost: 0.2, margin: 0.6 }]);
        click("reset");
        assert.equal(asked.length, 2); // it waits, so that it is the last word
        await answer(1);
        set(0, "0.3");
        await answer(2);
        assert.deepEqual(sent().slice(2), [null, { lost: 0.3, margin: 0.5 }]);
        await answer(3);
        assert.equal(player.target.settings.lost, 0.3);
    """
    )


def test_an_answer_to_other_settings_that_comes_late_counts_while_there_is_no_newer_one() -> None:
    check(
        WHAT_IF
        + """
        set(0, "0.2");
        mock.timers.tick(10000);
        await done();
        await answer(0);
        assert.equal(player.target.settings.lost, 0.2);
        set(0, "0.3");
        mock.timers.tick(10000);
        await done();
        set(0, "0.4");
        await answer(2);
        await answer(1);
        assert.equal(player.target.settings.lost, 0.4);
    """
    )


def test_frames_that_follow_each_other_closely_are_told_apart() -> None:
    check("""
        const { player } = page([]);
        const clip = [0, 0.04, 0.041, 0.042, 0.0425, 0.08]; // as browsers record a screen
        Object.assign(player.run, { time_s: clip, fps: 25, cache: { need() {} } });
        player.root.dataset.state = "done";
        const at = (mediaTime) => {
          player.video.present(0, { mediaTime });
          return player.frame;
        };
        const shown = clip.flatMap((begin, k) => [begin - 0.0001, begin, player.middleOf(k)].map(at));
        assert.deepEqual(shown, clip.flatMap((_, k) => [k, k, k]));
    """)


DRAW = """
    import { correctTool } from "PAGE/correct.js";
    const { player, server, asked, find } = page([target(1, 0, 3, 4)]);
    const canvas = find("panel").querySelector("canvas");
    Object.assign(canvas, { width: 100, height: 100 });
    player.panels = [find("panel")];
    player.run.size = [100, 100];
    const { correctionKeys } = correctTool(player, server);
    const event = (x, y) => ({ button: 0, clientX: x, clientY: y, preventDefault() {} });
    const point = (name, x, y) => canvas.listeners[name]?.(event(x, y));
    correctionKeys.r();
    point("pointerdown", 10, 10);
    point("pointermove", 40, 50);
    assert.deepEqual(player.draft.box, [10, 10, 40, 50]);
"""


def test_a_box_that_is_given_up_while_it_is_drawn_asks_for_nothing() -> None:
    check(
        DRAW
        + """
        correctionKeys.Escape();
        point("pointerup", 40, 50);
        assert.deepEqual([asked, player.draft.box], [[], null]);
    """
    )


def test_escape_takes_the_tip_away_and_the_click_that_ends_the_drag_starts_no_video() -> None:
    check(
        DRAW
        + """
        assert.match(player.message, /^Drag a box/);
        correctionKeys.Escape();
        assert.equal(player.message, "");
        point("pointerup", 40, 50);
        let stopped = 0;
        const click = () => canvas.listeners.click?.({ stopPropagation: () => (stopped += 1) });
        click();
        assert.equal(stopped, 1);
        point("pointerdown", 20, 20); // now a click is for the player
        point("pointerup", 20, 20);
        click();
        assert.equal(stopped, 1);
        correctionKeys.r();
        player.notify("Something else.");
        correctionKeys.r();
        assert.equal(player.message, "Something else.");
    """
    )


def test_a_correction_that_came_to_nothing_leaves_its_box_and_its_words() -> None:
    check(
        DRAW
        + """
        const { run } = player;
        run.targets[0].edits = [{ edit: 0 }];
        const opened = (changes) => Object.assign(player, { run: { ...run, ...changes } }).emit("run");
        const draft = () => [player.draft.box, find(".lt-sentence").value];
        opened({});
        assert.deepEqual(draft(), [null, ""]);
        correctionKeys.r();
        point("pointerdown", 10, 10);
        point("pointermove", 40, 50);
        point("pointerup", 40, 50);
        find(".lt-sentence").value = "the red car";
        opened({ exports: ["coco"] }); // the same tracks
        assert.deepEqual(draft(), [[10, 10, 40, 50], "the red car"]);
        opened({ targets: [{ ...run.targets[0], edits: [{ edit: 0 }, { edit: 1 }] }] });
        assert.deepEqual(draft(), [null, ""]);
    """
    )


def test_a_box_that_the_browser_interrupts_is_no_box() -> None:
    check(
        DRAW
        + """
        point("pointercancel");
        assert.equal(player.draft.box, null);
        point("pointermove", 90, 90); // the mouse over the picture, with no button down
        point("pointerup", 90, 90);
        assert.deepEqual([asked, player.draft.box], [[], null]);
    """
    )


PREVIEW = """
    import { mountPreview } from "PAGE/preview.js";
    const look = { size: [100, 100], regions: ["0,0,50,100", "50,0,100,100"], choice: "", text: "car" };
    const value = { ...look, frame: 0, picture: { path: "0.jpg" } };
    const [panel, chosen] = [element(), []];
    const trigger = (name, { box }) => chosen.push(box);
    mountPreview({ element: panel, props: { value, page: {} }, trigger, watch() {} });
"""


def test_two_fingers_on_the_frame_before_a_run_draw_no_box() -> None:
    check(
        PREVIEW
        + """
        const canvas = panel.querySelector(".lt-before").querySelector("canvas");
        Object.assign(canvas, { width: 100, height: 100 });
        const event = (x, y) => ({ button: 0, clientX: x, clientY: y, preventDefault() {} });
        const point = (name, x, y) => canvas.listeners[name]?.(event(x, y));
        point("pointerdown", 10, 10);
        point("pointermove", 40, 50); // and the second finger comes
        point("pointercancel");
        point("pointerdown", 70, 50);
        point("pointerup", 70, 50);
        assert.deepEqual(chosen, ["50,0,100,100"]);
    """
    )


def test_a_key_that_is_held_down_chooses_a_region_once() -> None:
    check(
        PREVIEW
        + """
        panel.querySelector(".lt-before").isConnected = true;
        for (const repeat of [false, true, true])
          document.keydown({ key: "2", repeat, target: { closest: () => null } });
        assert.deepEqual(chosen, ["50,0,100,100"]);
    """
    )


def test_a_picture_follows_no_pointer_that_the_browser_has_taken() -> None:
    check("""
        import { Zoom } from "PAGE/zoom.js";
        const canvas = element();
        const zoom = new Zoom([canvas], { pans: () => true, onChange() {} });
        zoom.by(2);
        const event = (x) => ({ clientX: x, clientY: 0, preventDefault() {} });
        canvas.listeners.pointerdown(event(50));
        canvas.listeners.pointermove(event(60));
        const { transform } = canvas.style;
        canvas.listeners.pointercancel?.();
        canvas.listeners.pointermove(event(90));
        assert.equal(canvas.style.transform, transform);
    """)


WORDS = """
    import { wordsTool } from "PAGE/words.js";
    const { player, server, asked, click, find } = page([target(1, 0, 3, 4), target(2, 0, 3, 4)]);
    wordsTool(player, server, { frameCanvas: {}, paintTrack() {} });
    player.choose(0);
    const shown = () => find(".lt-answer").text + find(".lt-regions").text;
    const words = { words: [{ word: "red", iou: 0.1 }], decisive: 0, frame: 0 };
    const region = { box_xyxy: [0, 0, 9, 9], completion: "on the left", means: 0 };
    const regions = { count: 2, regions: [region, region] };
    click("words");
"""


def test_what_is_said_of_the_words_of_one_target_does_not_stay_for_another() -> None:
    check(
        WORDS
        + """
        asked[0].answer(words);
        await settled();
        asked[1].answer(regions);
        await settled();
        assert.match(shown(), /red.* matters most.*on the left/s);
        player.choose(0); // the same one: its track was changed
        assert.match(shown(), /red/);
        player.choose(1);
        assert.deepEqual([shown(), player.hints.boxes], ["", []]);
    """
    )


def test_an_answer_about_words_that_comes_late_is_of_no_other_target() -> None:
    check(
        WORDS
        + """
        player.choose(1);
        asked[0].answer(words);
        await settled();
        assert.deepEqual([shown(), asked.length], ["", 1]);
        click("words");
        player.video.removeAttribute = () => {};
        player.close();
        asked[1].answer(words);
        await settled();
        assert.deepEqual([shown(), asked.length], ["", 2]);
    """
    )


def test_files_that_arrive_after_another_clip_was_opened_are_not_taken_for_it() -> None:
    check("""
        import { connect } from "PAGE/server.js";
        const { player, find } = page([target(1, 0, 3, 4)]);
        let arrive = null;
        const upload = () => new Promise((resolve) => (arrive = resolve));
        const server = connect(player, { props: {}, trigger() {}, watch() {}, upload });
        const taken = [];
        server.onUpload("verdicts", (paths) => taken.push(...paths));
        const input = find('[data-upload="verdicts"]');
        const { run } = player;
        const choose = async (name, shown) => {
          input.files = [{ name }];
          input.listeners.change();
          player.run = shown;
          arrive({ path: name });
          await settled();
          player.run = run;
        };
        await choose("other.json", { ...run, key: "another" });
        await choose("left.json", null);
        await choose("same.json", { ...run });
        assert.deepEqual(taken, ["same.json"]);
    """)


def test_a_screen_reader_hears_the_stage_of_a_run_once_and_not_every_frame() -> None:
    check("""
        import { showProgress } from "PAGE/progress.js";
        const { player, find } = page([target(1, 0, 3, 4)]);
        Object.assign(player.page, { kinds: { follow: "Following" }, stages: { waiting: "Waiting" } });
        const [live, count, said] = [element(), element(), []];
        const kept = { get: () => said.at(-1), set: (text) => said.push(text) };
        Object.defineProperty(live, "textContent", kept);
        find(".lt-stage").children = [live, count];
        const show = (value) => showProgress(player, { kind: "follow", frames: 0, total: 9, ...value });
        show({ stage: "waiting", position: 2 });
        for (const frames of [1, 2, 3]) show({ stage: "following", frames });
        assert.deepEqual(said, ["Waiting: number 2 in the line", "Following"]);
        assert.equal(count.textContent, ", 3 of 9 frames");
    """)


def test_a_list_with_verdicts_in_no_file_goes_only_when_asked() -> None:
    check("""
        import { clipsTool } from "PAGE/clips.js";
        const { player, server, asked } = page([target(1, 0, 3, 4)]);
        const input = element();
        player.all = (selector) => (selector.includes("lt-many") ? [input] : []);
        document.querySelector = () => element();
        window.matchMedia = () => ({ matches: false });
        server.send = async (files) => files.map(({ name }) => name);
        const { update } = clipsTool(player, server);
        const [questions, clips] = [[], [{ name: "a.mp4", verdict: "right" }]];
        const choose = async (unsaved, yes) => {
          update({ state: "done", clips: { now: null, judged: 1, unsaved, clips } });
          window.confirm = (question) => questions.push(question) && yes;
          input.files = [{ name: "b.mp4" }];
          input.listeners.change();
          await settled();
        };
        await choose(1, false);
        assert.deepEqual([questions.length, asked.length], [1, 0]);
        assert.match(questions[0], /^The verdicts on 1 clip of this list are in no file/);
        await choose(2, true);
        await choose(0, false);
        assert.deepEqual([questions.length, asked.length], [2, 2]);
    """)


def test_a_wheel_that_turns_sideways_does_not_zoom() -> None:
    check("""
        import { Zoom } from "PAGE/zoom.js";
        const canvas = element();
        const zoom = new Zoom([canvas], { onChange() {} });
        const turn = (deltaX, deltaY) => {
          let mine = false;
          canvas.listeners.wheel({ deltaX, deltaY, preventDefault: () => (mine = true) });
          return mine;
        };
        assert.equal(turn(40, 0), false);
        assert.equal(turn(0, -40), true);
        assert.deepEqual([turn(40, 0), turn(-40, -0), zoom.factor], [false, false, 1.25]);
    """)


def test_the_own_pixels_of_one_frame_at_a_time_are_asked_for() -> None:
    check("""
        import { mock } from "node:test";
        import { closerLook } from "PAGE/closer.js";
        mock.timers.enable({ apis: ["setTimeout"] });
        const { player, server, asked, find } = page([target(1, 0, 3, 4)]);
        const shown = [];
        globalThis.Image = class {
          set src(url) {
            shown.push(url);
          }
        };
        player.panels = [find("panel")];
        find("panel").querySelector("canvas").clientWidth = 2000;
        player.run.size = [1920, 1080];
        Object.assign(player.video, { videoWidth: 640, paused: true });
        player.root.dataset.state = "done";
        closerLook(player, server, {});
        const rest = (frame) => {
          player.frame = frame;
          player.emit("frame");
          mock.timers.tick(1000);
        };
        [0, 1, 2].forEach(rest);
        assert.deepEqual(asked.map(({ content }) => content.frame), [0]);
        asked[0].answer({ still: { url: "0.jpg" } });
        await new Promise(setImmediate);
        mock.timers.tick(1000);
        assert.deepEqual(asked.map(({ content }) => content.frame), [0, 2]);
        asked[1].answer({ still: { url: "2.jpg" } });
        await new Promise(setImmediate);
        assert.deepEqual(shown, ["2.jpg"]);
    """)


def test_the_end_of_the_timeline_is_the_last_frame_of_a_long_clip() -> None:
    check("""
        import { describer } from "PAGE/describe.js";
        const { player, find } = page([target(1, 0, 3, 4)]);
        player.run.time_s = Array.from({ length: 20000 }, (_, frame) => frame / 25);
        describer(player);
        const sought = [];
        player.seek = (frame) => sought.push(frame);
        for (const clientX of [-5, 50, 120])
          find(".lt-range").listeners.pointerdown({ clientX, button: 0, preventDefault() {} });
        assert.deepEqual(sought, [0, 10000, 19999]);
    """)


def test_words_that_were_read_seldom_hold_their_mask_until_they_are_read_again() -> None:
    check("""
        import { lastRead } from "PAGE/dom.js";
        const { player } = page([target(1, 0, 119, 120)], [{ name: "every", high: 30 }]);
        player.target.state = player.target.source;
        player.target.language = player.target.rows.map((row) => (row % 60 ? null : 0.9));
        const read = () => [29, 59, 60, 119].map((frame) => lastRead(player, frame));
        assert.deepEqual(read(), [0, null, 60, null]); // too long ago
        player.target.recorded.every = 60; // of a run of the command line
        assert.deepEqual(read(), [0, 0, 60, 60]);
    """)


CLASS = """
    import { filesTool } from "PAGE/files.js";
    const targets = ["car", "van"].map((name, k) => ({
      ...target(k + 1, 0, 3, 4),
      class: { name, words: "the " + name },
      downloads: [],
    }));
    const { player, server, asked, click, find } = page(targets);
    player.page.formats = { coco: "COCO" };
    filesTool(player, server);
    player.choose(0);
    const field = find('[data-field="class"]');
    const type = (text) => {
      document.activeElement = field;
      field.value = text;
    };
"""


def test_what_is_typed_on_while_a_class_is_on_its_way_stays() -> None:
    check(
        CLASS
        + """
        type("sports");
        field.listeners.change();
        type("sports car");
        asked[0].answer({ name: "sports" });
        await settled();
        assert.equal(field.value, "sports car");
        field.listeners.change();
        asked[1].answer({ name: "sports car" });
        await settled();
        assert.equal(player.target.class.name, "sports car");
    """
    )


def test_a_class_that_is_refused_is_said_and_not_covered_by_a_saved_run() -> None:
    check(
        CLASS
        + """
        for (const name of ["save", "format"]) {
          type("no");
          field.listeners.change();
          click(name);
          player.notify("That is no class.");
          asked.pop().answer(null);
          await settled();
          assert.equal(asked.length, 0);
          assert.equal(field.value, "car");
          field.listeners.input();
          assert.equal(player.message, "");
        }
        click("save");
        await settled();
        assert.equal(asked.pop().content.do, "save");
    """
    )


def test_the_class_of_the_target_that_is_shown_stands_in_the_field() -> None:
    """It has the focus where the target that it was about is taken out meanwhile."""
    check(
        CLASS
        + """
        type("ca");
        player.choose(0); // the same one again, as after a job
        assert.equal(field.value, "ca");
        player.choose(1);
        assert.equal(field.value, "van");
    """
    )


def test_the_same_class_once_more_keeps_the_files_that_have_it() -> None:
    check(
        CLASS
        + """
        player.run.exports = [{ file: { url: "" }, save_as: "", name: "", note: "", bytes: 1 }];
        type("car ");
        field.listeners.change();
        asked[0].answer({ name: "car" });
        await settled();
        assert.equal(player.run.exports.length, 1);
    """
    )
