import { memo, useEffect, useRef, useState, type ReactNode, type Ref } from "react";
import { words } from "../page/api/errors";
import type { Session } from "../api/types";
import { follow, go, pathOf, route } from "../app/route";
import { Icon } from "../page/parts/icons";
import { Menu } from "../page/parts/menu";
import { byAge } from "./dates";
import { useStore } from "../page/store";
import type { Workspace } from "./workspace";

interface Props {
  workspace: Workspace;
  name: string;
  search: Ref<HTMLInputElement>;
  /** A chat was chosen. */
  onLeave: () => void;
  children: ReactNode;
}

/** The chats, with search; `children` is what stands at the foot. */
export function Sidebar({ workspace, name, search, onLeave, children }: Props) {
  return (
    <div className="flex h-full flex-col">
      <div className="flex items-center gap-2.5 px-4 pt-4 pb-3">
        <img src="/mark.svg" alt="" width={24} height={24} />
        <span className="truncate font-semibold tracking-tight">{name}</span>
      </div>
      <div className="flex flex-col gap-1 px-2">
        <a href="/" className="entry font-medium" aria-keyshortcuts="Control+Shift+O" onClick={(event) => follow(event, onLeave)}>
          <Icon name="plus" /> New chat
        </a>
        <SearchBox workspace={workspace} box={search} />
      </div>
      <nav aria-label="Chats" className="mt-2 min-h-0 flex-1 overflow-y-auto px-2 pb-4">
        <SessionList workspace={workspace} onLeave={onLeave} />
      </nav>
      <div className="border-t border-line p-2">{children}</div>
    </div>
  );
}

function SearchBox({ workspace, box }: { workspace: Workspace; box: Ref<HTMLInputElement> }) {
  const [query, setQuery] = useState(() => workspace.listing.get().query);
  const asked = useRef(query);
  useEffect(() => {
    if (query.trim() === asked.current) return undefined;
    const timer = setTimeout(() => {
      asked.current = query.trim();
      void workspace.search(query.trim());
    }, 200);
    return () => clearTimeout(timer);
  }, [query, workspace]);
  return (
    <div className="relative">
      <span className="pointer-events-none absolute inset-y-0 left-2.5 grid place-items-center text-muted"><Icon name="search" /></span>
      <input
        ref={box}
        type="search"
        className="search"
        maxLength={200}
        placeholder="Search"
        aria-label="Search the chats"
        aria-keyshortcuts="Control+K"
        value={query}
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || query === "") return;
          event.preventDefault();
          event.stopPropagation();
          setQuery("");
        }}
      />
    </div>
  );
}

function SessionList({ workspace, onLeave }: { workspace: Workspace; onLeave: () => void }) {
  const listing = useStore(workspace.listing, (value) => value);
  const current = useStore(route, (value) => (value.view === "chat" ? value.id : null));
  const { items, query, phase, next, error } = listing;
  const groups = query === "" ? byAge(items, new Date()) : [{ label: phase === "loading" ? "Searching…" : `Found for “${query}”`, sessions: [...items] }];
  return (
    <>
      <p className="sr-only" role="status">{query !== "" && phase === "idle" ? `${items.length} chats found` : ""}</p>
      {error && (
        <div className="px-2.5 py-3 text-sm">
          <p className="text-muted">{error}</p>
          <button type="button" className="link mt-1" onClick={() => void workspace.search(query)}>Try again</button>
        </div>
      )}
      {items.length === 0 && phase === "idle" && !error && (
        <p className="px-2.5 py-3 text-sm text-muted">
          {query === "" ? "The chats that you start are listed here." : `Nothing found for “${query}”. Titles and messages were searched.`}
        </p>
      )}
      {items.length > 0 &&
        groups.map(({ label, sessions }, i) => (
          <section key={i} className="mt-3">
            <h2 className="px-2.5 pb-1 text-xs font-medium text-muted">{label}</h2>
            <ul>
              {sessions.map((session) => (
                <SessionItem key={session.id} workspace={workspace} session={session} current={session.id === current} onLeave={onLeave} />
              ))}
            </ul>
          </section>
        ))}
      {next !== null && items.length > 0 && (
        <button type="button" className="entry mt-2 text-muted" disabled={phase !== "idle"} onClick={() => void workspace.more()}>
          {phase === "more" ? "Loading…" : "Show more"}
        </button>
      )}
    </>
  );
}

interface ItemProps {
  workspace: Workspace;
  session: Session;
  current: boolean;
  onLeave: () => void;
}

const SessionItem = memo(function SessionItem({ workspace, session, current, onLeave }: ItemProps) {
  const [editing, setEditing] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [menu, setMenu] = useState(false);
  const entry = useRef<HTMLAnchorElement>(null);
  const title = session.title ?? "New chat";

  function rename(to: string | null): void {
    setEditing(false);
    requestAnimationFrame(() => entry.current?.focus());
    if (to === null || to === "" || to === title) return;
    setError(null);
    workspace.rename(session, to).catch((caught: unknown) => setError(`Not renamed: ${words(caught)}`));
  }

  if (editing) return <li><TitleBox title={title} onDone={rename} /></li>;
  return (
    <li className="group relative" data-menu={menu || undefined}>
      <a
        ref={entry}
        href={pathOf(session.id)}
        className="entry pr-9"
        aria-current={current ? "page" : undefined}
        onClick={(event) => follow(event, onLeave)}
        onKeyDown={(event) => {
          if (event.key === "F2") setEditing(true);
        }}
      >
        <span className="truncate">{title}</span>
      </a>
      <Menu
        label={`What to do with “${title}”`}
        className="more"
        onToggle={setMenu}
        items={[
          { label: "Rename", icon: <Icon name="pencil" size={16} />, act: () => setEditing(true) },
          {
            label: "Delete",
            icon: <Icon name="bin" size={16} />,
            danger: true,
            act: () => {
              workspace.remove(session);
              if (current) go("/");
            },
          },
        ]}
      >
        <Icon name="more" />
      </Menu>
      {error && <p role="alert" className="px-2.5 pb-1 text-xs text-danger">{error}</p>}
    </li>
  );
});

function TitleBox({ title, onDone }: { title: string; onDone: (title: string | null) => void }) {
  const [text, setText] = useState(title);
  const done = useRef(false);
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => box.current?.select(), []);
  function end(to: string | null): void {
    if (done.current) return;
    done.current = true;
    onDone(to);
  }
  return (
    <input
      ref={box}
      className="field my-0.5 px-2 py-1.5 text-sm"
      aria-label="Title of the chat"
      maxLength={200}
      value={text}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => end(text.trim())}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.nativeEvent.isComposing) end(text.trim());
        else if (event.key === "Escape") {
          event.preventDefault();
          event.stopPropagation();
          end(null);
        }
      }}
    />
  );
}
