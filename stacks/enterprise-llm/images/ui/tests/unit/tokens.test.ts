import { describe, expect, test, vi } from "vitest";
import { SignedOut, Unreachable } from "../../src/page/api/errors";
import { tokenSource, type Lock } from "../../src/page/api/tokens";
import type { Login, User } from "../../src/page/api/types";

const USER: User = { id: "u1", email: "a@example.org", name: "A", role: "user", disabled: false };
const login = (token: string, seconds = 600): Login => ({ access_token: token, token_type: "Bearer", expires_in: seconds, user: USER });
const alone: Lock = (task) => task();

/** A promise that is settled by hand. */
function later<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function source(refresh: () => Promise<Login>, lock = alone) {
  const clock = { now: 0 };
  const onUser = vi.fn<(user: User | null) => void>();
  return { clock, onUser, tokens: tokenSource({ refresh, lock, now: () => clock.now, onUser }) };
}

describe("the access token", () => {
  test("however many ask at once, one refresh is made", async () => {
    const answer = later<Login>();
    const refresh = vi.fn(() => answer.promise);
    const { tokens } = source(refresh);
    const asked = [tokens.get(), tokens.get(), tokens.renew("old"), tokens.get()];
    answer.resolve(login("new"));
    expect(await Promise.all(asked)).toEqual(["new", "new", "new", "new"]);
    expect(refresh).toHaveBeenCalledTimes(1);
  });

  test("is refreshed before it runs out, and not earlier", async () => {
    const refresh = vi.fn(async () => login("second"));
    const { tokens, clock } = source(refresh);
    tokens.accept(login("first"));
    clock.now = 569_000;
    expect(await tokens.get()).toBe("first");
    clock.now = 571_000;
    expect(await tokens.get()).toBe("second");
  });

  test("of two requests that were refused with the same token, only the first refreshes", async () => {
    const refresh = vi.fn(async () => login("second"));
    const { tokens } = source(refresh);
    tokens.accept(login("first"));
    expect(await tokens.renew("first")).toBe("second");
    expect(await tokens.renew("first")).toBe("second");
    expect(refresh).toHaveBeenCalledTimes(1);
  });

  test("a log-out during a refresh is not undone by its answer", async () => {
    const answer = later<Login>();
    const { tokens, onUser } = source(() => answer.promise);
    const asked = tokens.get();
    tokens.forget();
    answer.resolve(login("late"));
    await expect(asked).rejects.toBeInstanceOf(SignedOut);
    expect(onUser.mock.calls).toEqual([[null]]);
  });

  test("a login during a refresh that is refused stays", async () => {
    const answer = later<Login>();
    const { tokens, onUser } = source(() => answer.promise);
    const asked = tokens.get();
    tokens.accept(login("fresh"));
    answer.reject(new SignedOut());
    expect(await asked).toBe("fresh");
    expect(onUser.mock.calls).toEqual([[USER]]);
  });

  test("no network ends no login", async () => {
    const refresh = vi.fn<() => Promise<Login>>().mockRejectedValueOnce(new Unreachable()).mockResolvedValueOnce(login("again"));
    const { tokens, onUser } = source(refresh);
    await expect(tokens.get()).rejects.toBeInstanceOf(Unreachable);
    expect(onUser).not.toHaveBeenCalled();
    expect(await tokens.get()).toBe("again");
  });

  test("a refused refresh ends the login", async () => {
    const { tokens, onUser } = source(() => Promise.reject(new SignedOut()));
    await expect(tokens.get()).rejects.toBeInstanceOf(SignedOut);
    expect(onUser.mock.calls).toEqual([[null]]);
  });

  test("tabs that share a cookie take turns", async () => {
    let under = 0;
    let most = 0;
    let last: Promise<unknown> = Promise.resolve();
    const lock: Lock = (task) => {
      const mine = last.then(task);
      last = mine.catch(() => undefined);
      return mine;
    };
    const refresh = async () => {
      most = Math.max(most, (under += 1));
      await Promise.resolve();
      under -= 1;
      return login("t");
    };
    await Promise.all([source(refresh, lock).tokens.get(), source(refresh, lock).tokens.get()]);
    expect(most).toBe(1);
  });
});
