import type { Request, Response } from 'express'

const name = 'stowage-token'
/** A replica that is still behind after a minute has another problem. */
const maxAge = 60_000

/** The consistency token of this visitor's last write, whichever process handled it. */
export function readToken(req: Request): string | undefined {
  return new RegExp(`(?:^|; )${name}=([^;]*)`).exec(req.get('Cookie') ?? '')?.[1]
}

export function setToken(res: Response, token: string): void {
  // Tokens contain only characters that are valid in a cookie, so they need no encoding.
  res.cookie(name, token, { httpOnly: true, sameSite: 'lax', maxAge, encode: String })
}
