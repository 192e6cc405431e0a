"""What a person sees outside of JupyterLab, in both themes and on a narrow screen: axe finds nothing in it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from spokekit._home import private_folder, write_private
from spokekit._secret import Secret
from spokekit.errors import CallbackRefused
from spokekit.oauth.callbacks import Callback, LoopbackReceiver
from spokekit.oauth.environment import handover_folder
from spokekit.oauth.jupyter_mailbox import Waiting, announce
from spokekit.practice import PracticeInstance, PracticeSite
from tests.browser.axe import findings_of_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.browser.jupyterlab_page import Lab

    Look = Callable[[str], None]


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    yield page
    page.context.close()


@pytest.fixture
def look(window: Page, tmp_path: Path, request: pytest.FixtureRequest) -> Look:
    """Look at the open page in both themes and both widths."""
    import os

    shots = Path(os.environ.get("SPOKEKIT_SCREENSHOTS", tmp_path))

    def looked(name: str) -> None:
        wrong = []
        for scheme in ("light", "dark"):
            window.emulate_media(color_scheme=scheme)
            for width in (1280, 480):
                window.set_viewport_size({"width": width, "height": 720})
                wrong += [f"{scheme}, {width}: {line}" for line in findings_of_page(window)]
                if window.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    wrong.append(f"wider than {width}")
                window.screenshot(path=shots / f"page-{name}-{scheme}-{width}.png", full_page=True)
        assert wrong == [], name

    return looked


def authorize(site: PracticeSite, **changes: str) -> str:
    query = {
        "audience": "api.atlassian.com",
        "client_id": site.client_id,
        "scope": "read:me read:confluence-groups offline_access",
        "redirect_uri": site.redirect_uris[0],
        "state": "x",
        "response_type": "code",
        "prompt": "consent",
    }
    return f"{site.url}authorize?{urlencode(query | changes)}"


def test_axe_finds_what_is_wrong(window: Page) -> None:
    window.set_content("<p style='color:#ccc;background:#fff'>pale</p><input>")
    found = "\n".join(findings_of_page(window))
    for rule in ("html-has-lang", "color-contrast", "label", "document-title"):
        assert f"{rule}: " in found


def test_the_practice_instance(window: Page, look: Look) -> None:
    with PracticeInstance() as instance:
        for name in ("Berlin", "<b>Rome</b> " + "x" * 90):
            instance.data.put("http_connection", {"name": name, "credential": "f" * 32}, f"{len(name):032x}")
        window.goto(instance.page())
        window.locator("summary", has_text="Rome").click()
        expect(window.locator("details[open]")).to_contain_text("there is no such record")
        look("instance")
        window.get_by_label("Content of a file").fill("no XML")
        window.get_by_role("button", name="Import").click()
        expect(window.get_by_role("status")).to_contain_text("This is not XML")
        look("instance-refused")


def test_the_practice_instance_beside_a_site(window: Page, look: Look) -> None:
    with PracticeSite() as site:
        window.goto(site.page("instance"))
        look("no-instance")
        data = site.instance_beside.make().data
        long = "Berlin & Rome " + "x" * 90
        for number, name in enumerate(("Confluence Cloud Spoke Connection", long)):
            key = f"{number:032x}"
            data.put("oauth_entity", {"name": f"{name} OAuth", "client_id": "a" * 40}, key)
            data.put("oauth_entity_profile", {"name": name, "oauth_entity": key}, key)
            data.put("oauth_2_0_credentials", {"name": f"{name} credential", "oauth_entity_profile": key}, key)
        window.reload()
        for summary in window.locator("summary").all():
            summary.click()
        secret = window.get_by_label(f"Client secret of {long} OAuth")
        secret.fill("typed by hand")
        assert secret.get_attribute("type") == "password"
        look("instance-beside")
        secret.press("Enter")
        expect(window.get_by_role("status")).to_contain_text(f"The client secret of {long} OAuth is saved.")
        window.locator("summary", has_text="Spoke Connection credential").click()
        window.get_by_role("button", name="Get OAuth Token: Confluence Cloud Spoke Connection credential").click()
        expect(window.get_by_role("status")).to_contain_text("no scopes")
        look("instance-no-token")
        window.get_by_role("link", name="Developer console").click()
        expect(window).to_have_url(f"{site.url}console")


def test_the_practice_site(window: Page, look: Look) -> None:
    with PracticeSite(sites=2) as site:
        window.goto(authorize(site))
        window.locator("summary").click()
        look("consent")
        for name, changes in {
            "no-such-app": {"client_id": "nobody"},
            "redirect": {"redirect_uri": "http://localhost:1/other"},
            "scope": {"scope": "read:jira-work"},
        }.items():
            window.goto(authorize(site, **changes))
            look(f"refusal-{name}")
        window.goto(f"{site.url}console")
        look("closed")
        window.goto(site.page())
        for summary in window.locator("summary").all():
            summary.click()
        look("console")
        window.get_by_label("Callback URLs").first.fill("ftp://nowhere")
        window.get_by_role("button", name="Save changes").first.click()
        look("console-problem")
        window.get_by_role("link", name="Connected apps").click()
        look("connected-apps-none")
        site.issue_token()
        window.reload()
        look("connected-apps")
        window.get_by_role("link", name="What happened").click()
        look("happened")
        site.switches.user_apps_blocked = True
        window.goto(f"{site.url}console")
        window.get_by_role(
            "button", name=f"Authorise for everybody: Four ticked scopes on {site.sites[0].name}"
        ).click()
        expect(window.get_by_role("status").first).to_contain_text("is authorised for everybody")
        window.goto(authorize(site))
        window.get_by_text("Sign in as somebody else").click()
        look("consent-sign-in")
        window.get_by_label("Sign in as").select_option("member")
        window.get_by_role("button", name="Sign in").click()
        member = site.world.find_person(site.world.account("member")).display_name
        expect(window.get_by_text(f"Signed in as {member}")).to_be_visible()


def test_an_app_is_created_and_its_id_and_secret_copied(window: Page, look: Look) -> None:
    with PracticeSite() as site:
        window.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url.rstrip("/"))
        window.goto(f"{authorize(site, client_id='nobody')}&open={site.keys.ticket()}")
        window.get_by_role("link", name="practice developer console").click()
        window.get_by_text("Create app").click()
        window.get_by_label("Callback URLs of the new app").fill(site.redirect_uris[0])
        window.get_by_role("button", name="Create", exact=True).click()
        expect(window.get_by_role("status").first).to_have_text("Not created: The app needs a name.")
        window.get_by_label("Name", exact=True).fill("Confluence set-up")
        for scope in ("read:me", "read:confluence-groups"):
            window.locator(f"#new-{scope.replace(':', chr(92) + ':')}").check()
        look("console-create")
        window.get_by_role("button", name="Create", exact=True).click()
        expect(window.get_by_role("status").first).to_contain_text("Created Confluence set-up.")
        app = site.apps[-1]
        assert (app.redirect_uris, app.scopes) == (list(site.redirect_uris), ("read:confluence-groups", "read:me"))
        for what, value in {"client ID": app.client_id, "secret": app.client_secret}.items():
            window.get_by_role("button", name=f"Copy the {what}").first.click()
            assert window.evaluate("navigator.clipboard.readText()") == value
        expect(window.get_by_text("Copied.")).to_have_count(2)
        look("console-created")
        window.goto(authorize(site, client_id=app.client_id))
        expect(window.get_by_role("heading", level=1)).to_contain_text("Confluence set-up asks for access")


def test_the_callback_page(window: Page, look: Look) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        redirect = f"http://127.0.0.1:{probe.getsockname()[1]}/callback"

    def judge(callback: Callback) -> None:
        if callback.state != Secret("right"):
            raise CallbackRefused("It is not the one.", likely="It belongs to an earlier attempt.")

    receiver = LoopbackReceiver(redirect)
    receiver.open(judge, lambda: "", Secret("right"), 60)
    try:
        for name, query in {
            "done": "code=c&state=right",
            "declined": "error=access_denied&state=right",
            "refused": "code=c&state=wrong",
        }.items():
            window.goto(f"{redirect}?{query}")
            look(f"callback-{name}")
        window.goto(redirect.replace("callback", "elsewhere"))
        look("callback-nothing")
    finally:
        receiver.close()


def test_the_jupyter_servers_own_pages(window: Page, look: Look, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The redirect's pages, and those in place of a practice site that is not there or not open to this browser."""
    # What kernels tell this server: an attempt whose redirect leads elsewhere, one that is answered, a site that ended.
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(lab.folder / "runtime"))
    for state, leads in (("leads-elsewhere", "http://elsewhere.test:8751/callback"), ("answered", lab.base)):
        announce(Secret(state), Waiting("http://localhost:9/authorize?x=y", leads, time.time() + 600))
    write_private(private_folder(handover_folder()) / "practice-9.json", b"{}")
    for name, path, words in (
        ("other-address", "spokekit/oauth/start?flow=leads-elsewhere", "this server has another address"),
        ("answered", "spokekit/oauth/callback?code=c&state=answered", "Go back to the browser tab of Jupyter"),
        ("answered-before", "spokekit/oauth/callback?code=c&state=answered", "was received before"),
        ("start", "spokekit/oauth/start", "To register as the callback URL"),
        ("start-late", "spokekit/oauth/start?flow=long-gone", "Nobody waits for this attempt any more."),
        ("no-answer", "spokekit/oauth/callback", "This is not an answer of the consent page."),
        ("answer-late", "spokekit/oauth/callback?code=c&state=long-gone", "Nobody waits for this answer"),
        ("not-signed-in", "spokekit/practice/1/console", "open to whoever is signed in"),
    ):
        window.goto(f"{lab.base}{path}")
        expect(window.locator("main")).to_contain_text(words)
        look(f"server-{name}")
    window.goto(f"{lab.base}lab?token={lab.token}")
    window.goto(f"{lab.base}spokekit/practice/1/console")
    expect(window.locator("main")).to_contain_text("No notebook here has named this practice site today.")
    look("server-not-named")
    window.goto(f"{lab.base}spokekit/practice/9/console")
    expect(window.locator("main")).to_contain_text("The practice site does not answer any more.")
    look("server-no-practice-site")
