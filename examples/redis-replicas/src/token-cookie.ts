import type { Request, Response } from 'express'

const name = 'stowage-token'
/** Replicas that are this far behind have other problems. */
const maxAge = 60_000

/** The token of what this visitor has written, whichever process he was served by. */
export function tokenOf(req: Request): string | undefined {
  return new RegExp(`(?:^|; )${name}=([^;]*)`).exec(req.get('Cookie') ?? '')?.[1]
}

export function giveToken(res: Response, token: string): void {
  // A token is made of characters a cookie may have.
  res.cookie(name, token, { httpOnly: true, sameSite: 'lax', maxAge, encode: String })
}
