import { useEffect, useMemo, useRef, useState } from "react";
import { AccountMenu } from "../account/menu";
import { UsersPage } from "../account/users";
import type { ComposerBox } from "../chat/composer";
import { ChatPage } from "../chat/page";
import { Sidebar } from "../chat/sidebar";
import { busy } from "../chat/state";
import { useStore } from "../page/store";
import type { Workspace } from "../chat/workspace";
import { Dialog } from "../page/parts/dialog";
import { useMedia } from "../page/parts/hooks";
import { Icon } from "../page/parts/icons";
import type { User } from "../page/api/types";
import { config } from "../page/identity";
import { workspaceOf } from "./space";
import { go, route, type Route } from "./route";
import { ShortcutList, useShortcuts } from "./shortcuts";

const HOME: Route = { view: "chat", id: null };

/** The page of somebody who is logged in: side bar, banners, and a chat or the users. */
export function Shell({ user }: { user: User }) {
  const workspace = workspaceOf(user);
  const asked = useStore(route, (value) => value);
  const at = asked.view === "users" && user.role !== "admin" ? HOME : asked;
  const name = useStore(config, (value) => value?.name ?? "Chat");
  const wide = useMedia("(min-width: 48rem)");
  const [drawer, setDrawer] = useState(false);
  const [listed, setListed] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const composer = useRef<ComposerBox>(null);
  const id = at.view === "chat" ? at.id : null;
  const conversation = workspace.open(id);

  const shortcuts = useMemo(
    () => ({
      search() {
        setDrawer(!wide);
        requestAnimationFrame(() => search.current?.select());
      },
      newChat() {
        go("/");
        requestAnimationFrame(() => composer.current?.focus());
      },
      focus: () => composer.current?.focus(),
      list: () => setListed(true),
      stop() {
        if (!busy(conversation.chat.get())) return false;
        conversation.stop();
        composer.current?.focus();
        return true;
      },
    }),
    [conversation, wide],
  );
  useShortcuts(shortcuts);

  const leave = () => setDrawer(false);
  const sidebar = (
    <Sidebar workspace={workspace} name={name} search={search} onLeave={leave}>
      <AccountMenu user={user} service={workspace.service} onShortcuts={() => setListed(true)} onLeave={leave} />
    </Sidebar>
  );
  return (
    <div className="flex h-dvh">
      <a href="#content" className="skip">Skip to the chat</a>
      {wide ? <aside aria-label="Side bar" className="w-68 shrink-0 border-r border-line bg-side">{sidebar}</aside> : drawer && <Dialog drawer title="Chats" onClose={leave}>{sidebar}</Dialog>}
      <div className="flex min-w-0 flex-1 flex-col">
        <Head workspace={workspace} at={at} name={name} onMenu={wide ? null : () => setDrawer(true)} />
        <Notices workspace={workspace} />
        <main id="content" tabIndex={-1} className="min-h-0 flex-1 outline-none">
          {at.view === "users" ? (
            <UsersPage service={workspace.service} self={user} />
          ) : (
            <ChatPage key={conversation.key} ref={composer} workspace={workspace} conversation={conversation} />
          )}
        </main>
      </div>
      <Undo workspace={workspace} />
      {listed && <ShortcutList onClose={() => setListed(false)} />}
    </div>
  );
}

interface HeadProps {
  workspace: Workspace;
  at: Route;
  name: string;
  onMenu: (() => void) | null;
}

function Head({ workspace, at, name, onMenu }: HeadProps) {
  const id = at.view === "chat" ? at.id : null;
  const session = useStore(workspace.open(id).chat, (chat) => chat.session);
  const listed = useStore(workspace.listing, (value) => value.items.find((item) => item.id === id)?.title);
  const title = at.view === "users" ? "Users" : (listed ?? session?.title ?? (id === null ? "New chat" : "Chat"));
  useEffect(() => {
    document.title = `${title} · ${name}`;
  }, [title, name]);
  return (
    <header className="flex h-13 shrink-0 items-center gap-2 px-3 md:px-6">
      {onMenu && (
        <button type="button" className="quiet" aria-label="Chats and account" aria-haspopup="dialog" onClick={onMenu}>
          <Icon name="menu" size={20} />
        </button>
      )}
      {at.view === "users" ? (
        <button type="button" className="quiet -ml-2 flex items-center gap-2" onClick={() => go("/")}>
          <Icon name="back" /> Chats
        </button>
      ) : (
        <h1 className="min-w-0 flex-1 truncate text-sm font-medium text-muted">{title}</h1>
      )}
      {onMenu && at.view === "chat" && (
        <button type="button" className="quiet" aria-label="New chat" onClick={() => go("/")}>
          <Icon name="plus" size={20} />
        </button>
      )}
    </header>
  );
}

function Notices({ workspace }: { workspace: Workspace }) {
  const up = useStore(workspace.link.up, (value) => value);
  const notice = useStore(workspace.models, (value) => value?.notice ?? null);
  return (
    <div className="px-3 md:px-6">
      {notice !== null && <p className="notice" role="note">{notice}</p>}
      <div role="status">
        {!up && (
          <div className="notice warn">
            <Icon name="offline" />
            <span className="flex-1">No connection to the server. What you type is kept; this page tries again by itself.</span>
            <button type="button" className="link" onClick={() => void workspace.link.ask()}>Try now</button>
          </div>
        )}
      </div>
    </div>
  );
}

function Undo({ workspace }: { workspace: Workspace }) {
  const removal = useStore(workspace.removal, (value) => value);
  return (
    <div role="status" className="toast-place">
      {removal && (
        <div className="toast">
          <span className="min-w-0 truncate">Deleted “{removal.session.title ?? "New chat"}”</span>
          <button type="button" onClick={() => workspace.restore()}>Undo</button>
        </div>
      )}
    </div>
  );
}
