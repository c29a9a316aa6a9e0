/** What the auth service says, as its contract words it. */

export type Role = "user" | "admin";

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  disabled: boolean;
}

export interface Login {
  access_token: string;
  token_type: string;
  /** Seconds. */
  expires_in: number;
  user: User;
}

export interface AuthConfig {
  name: string;
  registration: { open: boolean; domains: string[] };
}
