/** An answer of a service that is not a success. */
export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    readonly status: number,
    /** The service's own word, or `unknown` when the answer was not the service's (a proxy's page, say). */
    readonly code: string,
    message: string,
    /** Seconds until it is worth to ask again, where the service said so. */
    readonly retryAfter: number | null = null,
    readonly requestId: string | null = null,
    /** The whole answer, for what a service says beside `error`. */
    readonly body: unknown = null,
  ) {
    super(message);
  }
}

/** No answer at all: no network, no server, or a proxy that does not reach the service. */
export class Unreachable extends Error {
  override name = "Unreachable";

  constructor(cause?: unknown) {
    super("The server cannot be reached.", { cause });
  }
}

/** The login is over: the refresh token is gone, used up or refused. */
export class SignedOut extends Error {
  override name = "SignedOut";

  constructor() {
    super("You are logged out.");
  }
}

export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Seconds, from seconds or an HTTP date; null when there is none or it makes no sense. */
export function retrySeconds(header: string | null, now: number): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

interface ErrorBody {
  error?: { code?: unknown; message?: unknown; request_id?: unknown };
}

/** The error that a response means. A 502, 503 or 504 without a word of the service's own comes from what stands before it. */
export async function failure(response: Response, now: number = Date.now()): Promise<ApiError | Unreachable> {
  const text = await response.text().catch(() => "");
  const body = parse(text);
  const told = body?.error;
  if (typeof told?.code !== "string") {
    if ([502, 503, 504].includes(response.status)) return new Unreachable();
    return new ApiError(response.status, "unknown", `The server answered ${response.status}.`);
  }
  return new ApiError(
    response.status,
    told.code,
    typeof told.message === "string" ? told.message : told.code,
    retrySeconds(response.headers.get("Retry-After"), now),
    typeof told.request_id === "string" ? told.request_id : null,
    body,
  );
}

function parse(text: string): ErrorBody | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}

/** What to tell a person about any error. */
export function words(error: unknown): string {
  if (error instanceof ApiError || error instanceof Unreachable || error instanceof SignedOut) return error.message;
  return "Something went wrong in this page.";
}
