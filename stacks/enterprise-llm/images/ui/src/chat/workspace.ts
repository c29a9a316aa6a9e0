import { ApiError, Unreachable, words } from "../page/api/errors";
import type { Service } from "../api/service";
import type { Models, Session } from "../api/types";
import { conversation, unsettled, type Conversation } from "./conversation";
import type { Drafts } from "./drafts";
import { link, type Link } from "../page/link";
import { store, type Store } from "../page/store";

export interface Listing {
  items: readonly Session[];
  next: string | null;
  query: string;
  phase: "idle" | "loading" | "more";
  error: string | null;
}

/** A chat that is about to be deleted, while it can still be had back. */
export interface Removal {
  session: Session;
  index: number;
}

/** Everything that one person's page holds between log-in and log-out. */
export interface Workspace {
  readonly service: Service;
  readonly drafts: Drafts;
  readonly models: Store<Models | null>;
  readonly listing: Store<Listing>;
  readonly removal: Store<Removal | null>;
  readonly link: Link;
  /** The chat with this id, or the new one. */
  open(id: string | null): Conversation;
  search(query: string): Promise<void>;
  more(): Promise<void>;
  rename(session: Session, title: string): Promise<void>;
  remove(session: Session): void;
  restore(): void;
  /** Delete now what was about to be. */
  purge(leaving?: boolean): void;
  start(): Promise<void>;
  /** After a time in which nothing could be asked: learn what is new, and settle what was left open. */
  resume(): Promise<void>;
  close(): void;
}

const UNDO_MS = 8000;

/** `onBegun`: the new chat has its session now. */
export function workspace(service: Service, drafts: Drafts, onBegun: (session: Session) => void): Workspace {
  const models = store<Models | null>(null);
  const listing = store<Listing>({ items: [], next: null, query: "", phase: "loading", error: null });
  const removal = store<Removal | null>(null);
  const chats = new Map<string, Conversation>();
  // The cheapest request that needs both services: the gateway's answer, with a token that auth may have to renew.
  const connection = link(learnModels, () => void self.resume());
  let fresh: Conversation | null = null;
  let asking: AbortController | null = null;
  let undo: ReturnType<typeof setTimeout> | undefined;

  const around = {
    service,
    drafts,
    now: Date.now,
    frame: (task: () => void) => {
      // A hidden page draws no pictures; its answers go on all the same.
      if (document.hidden) setTimeout(task, 250);
      else requestAnimationFrame(task);
    },
    wait: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
    onUnreachable: () => connection.lost(),
    onSession: upsert,
    onBegun(begun: Conversation, session: Session) {
      chats.set(session.id, begun);
      if (fresh === begun) fresh = null;
      onBegun(session);
    },
  };

  /** Newest first. A search shows what was found, not what has just changed. */
  function upsert(session: Session): void {
    listing.update((now) => {
      const known = now.items.some((item) => item.id === session.id);
      if (now.query !== "") return known ? { ...now, items: now.items.map((item) => (item.id === session.id ? session : item)) } : now;
      return { ...now, items: [session, ...now.items.filter((item) => item.id !== session.id)] };
    });
  }

  async function list(query: string, cursor: string | null): Promise<void> {
    asking?.abort();
    const control = new AbortController();
    asking = control;
    listing.update((now) => ({ ...now, query, phase: cursor === null ? "loading" : "more", error: null }));
    try {
      const page = await service.sessions(query, cursor, control.signal);
      if (asking !== control) return;
      const gone = removal.get()?.session.id;
      const found = page.sessions.filter((session) => session.id !== gone);
      listing.update((now) => {
        const before = cursor === null ? [] : now.items;
        const seen = new Set(before.map((item) => item.id));
        return { ...now, items: [...before, ...found.filter((item) => !seen.has(item.id))], next: page.next, phase: "idle" };
      });
    } catch (error) {
      if (asking !== control) return;
      listing.update((now) => ({ ...now, phase: "idle", error: words(error) }));
      if (error instanceof Unreachable) connection.lost();
    }
  }

  /** False when the server cannot be reached. */
  async function learnModels(): Promise<boolean> {
    try {
      models.set(await service.models());
    } catch (error) {
      if (error instanceof Unreachable) {
        connection.lost();
        return false;
      }
    }
    return true;
  }

  const self: Workspace = {
    service,
    drafts,
    models,
    listing,
    removal,
    link: connection,

    open(id) {
      if (id === null) return (fresh ??= conversation(null, around));
      const known = chats.get(id);
      if (known) return known;
      const opened = conversation(id, around);
      chats.set(id, opened);
      void opened.load();
      return opened;
    },

    search: (query) => list(query, null),

    async more() {
      const { next, query, phase } = listing.get();
      if (next !== null && phase === "idle") await list(query, next);
    },

    async rename(session, title) {
      const shown = { ...session, title };
      const place = (one: Session) => {
        listing.update((now) => ({ ...now, items: now.items.map((item) => (item.id === one.id ? one : item)) }));
        const open = chats.get(one.id);
        if (open?.chat.get().session) open.rename(one);
      };
      place(shown);
      try {
        await service.rename(session.id, title);
      } catch (error) {
        place(session);
        throw error;
      }
    },

    remove(session) {
      self.purge();
      const index = listing.get().items.findIndex((item) => item.id === session.id);
      listing.update((now) => ({ ...now, items: now.items.filter((item) => item.id !== session.id) }));
      chats.get(session.id)?.stop();
      removal.set({ session, index });
      undo = setTimeout(() => self.purge(), UNDO_MS);
    },

    restore() {
      clearTimeout(undo);
      const back = removal.get();
      if (!back) return;
      removal.set(null);
      listing.update((now) => ({ ...now, items: now.items.toSpliced(Math.max(0, back.index), 0, back.session) }));
    },

    purge(leaving = false) {
      clearTimeout(undo);
      const gone = removal.get();
      if (!gone) return;
      removal.set(null);
      chats.delete(gone.session.id);
      drafts.write(gone.session.id, "");
      service.remove(gone.session.id, leaving).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return;
        // Not deleted: it is shown again, with the reason.
        listing.update((now) => ({ ...now, items: now.items.toSpliced(Math.max(0, gone.index), 0, gone.session), error: `Not deleted: ${words(error)}` }));
      });
    },

    async start() {
      await Promise.all([list("", null), learnModels()]);
    },

    async resume() {
      const waiting = [...chats.values(), ...(fresh ? [fresh] : [])].filter((one) => unsettled(one.chat.get()));
      await Promise.all([list(listing.get().query, null), ...waiting.map((one) => one.reconcile())]);
    },

    close() {
      self.purge();
      asking?.abort();
      connection.close();
      for (const one of [...chats.values(), ...(fresh ? [fresh] : [])]) one.stop();
    },
  };
  return self;
}
