import { useEffect, useState } from "react";
import { AdminPage } from "./admin";
import { IssuerLogin } from "./oidc/login";
import { Entrance } from "./page/entrance";
import type { User } from "./page/api/types";
import { logout } from "./page/identity";
import { Icon } from "./page/parts/icons";
import { Initials } from "./page/parts/initials";
import { lookItems } from "./page/parts/looks";
import { Menu } from "./page/parts/menu";
import { useStore } from "./page/store";
import { theme } from "./page/theme";
import { SessionCard } from "./session/card";
import { SessionList } from "./session/list";
import { liveOf } from "./session/state";
import type { Settings } from "./settings";
import { settings, spaceOf, type Space } from "./space";
import { TryCard } from "./try/card";

export function App() {
  const told = useStore(settings, (value) => value);
  if (told === "missing") return <Unset />;
  const login = told?.oidc ? { login: <IssuerLogin oidc={told.oidc} name={told.name} /> } : {};
  return <Entrance {...login}>{(user) => (told ? <Portal user={user} settings={told} /> : null)}</Entrance>;
}

function Unset() {
  return (
    <main className="grid h-dvh place-items-center px-5">
      <div className="max-w-sm" role="alert">
        <img src="/mark.svg" alt="" width={40} height={40} className="mb-6" />
        <h1 className="text-2xl font-semibold tracking-tight">This page has no settings</h1>
        <p className="mt-2 text-muted">Its file /settings.json is missing or not whole, or the server cannot be reached.</p>
        <button type="button" className="secondary mt-6" onClick={() => location.reload()}>Try again</button>
      </div>
    </main>
  );
}

function Portal({ user, settings: told }: { user: User; settings: Settings }) {
  const space = spaceOf(user, told);
  const [path, setPath] = useState(location.hash);
  useEffect(() => {
    const changed = () => setPath(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const all = user.role === "admin" && path === "#everyone";
  useEffect(() => {
    document.title = `${all ? "All sessions" : "Your session"} · ${told.name}`;
  }, [all, told.name]);
  return (
    <>
      <a href="#content" className="skip">Skip to the content</a>
      <Head user={user} name={told.name} all={all} />
      <main id="content" tabIndex={-1} className="mx-auto flex w-full max-w-4xl flex-col gap-5 px-4 pt-5 pb-16 outline-none sm:px-6 sm:pt-8">
        <Offline space={space} />
        {all ? <AdminPage service={space.service} /> : <Own space={space} />}
      </main>
    </>
  );
}

function Own({ space }: { space: Space }) {
  const live = useStore(space.desk.state, (state) => liveOf(state)?.sessionId ?? null);
  return (
    <>
      <SessionCard desk={space.desk} />
      {live !== null && <TryCard desk={space.desk} conversation={space.conversation} />}
      <SessionList desk={space.desk} />
    </>
  );
}

function Head({ user, name, all }: { user: User; name: string; all: boolean }) {
  const chosen = useStore(theme, (value) => value);
  return (
    <header className="sticky top-0 z-10 border-b border-line bg-page">
      <div className="mx-auto flex h-14 max-w-4xl items-center gap-3 px-4 sm:px-6">
        <img src="/mark.svg" alt="" width={28} height={28} />
        <p className="min-w-0 truncate font-semibold tracking-tight max-sm:sr-only">{name}</p>
        {user.role === "admin" && (
          <nav aria-label="Pages" className="flex gap-1 sm:ml-4">
            <a className="tab" href="#own" aria-current={all ? undefined : "page"}>Your session</a>
            <a className="tab" href="#everyone" aria-current={all ? "page" : undefined}>All sessions</a>
          </nav>
        )}
        <div className="ml-auto">
          <Menu
            label={`Account of ${user.name || user.email}`}
            className="grid rounded-full"
            items={[...lookItems(chosen), { label: "Log out", apart: true, act: () => void logout() }]}
          >
            <Initials name={user.name || user.email} />
          </Menu>
        </div>
      </div>
    </header>
  );
}

function Offline({ space }: { space: Space }) {
  const up = useStore(space.desk.reach.up, (value) => value);
  return (
    <div role="status" className="banner-place">
      {!up && (
        <div className="notice warn shadow-lg">
          <Icon name="offline" />
          <span className="flex-1">No connection to the server. This page tries again by itself.</span>
          <button type="button" className="link" onClick={() => space.desk.hurry()}>Try now</button>
        </div>
      )}
    </div>
  );
}
