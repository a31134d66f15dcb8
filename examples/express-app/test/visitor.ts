export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** A browser as far as HTTP goes: keeps its cookie, and does not follow redirects. */
export class Visitor {
  #base: string
  #cookie: string | undefined

  constructor(base: string) {
    this.#base = base
  }

  get cookie(): string | undefined {
    return this.#cookie
  }

  /** Goes on with another process of the app, with the same cookie. */
  moveTo(base: string): void {
    this.#base = base
  }

  get(path: string): Promise<Answer> {
    return this.#send(path, {})
  }

  post(
    path: string,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const body = new URLSearchParams(fields)
    return this.#send(path, { method: 'POST', body, headers })
  }

  async #send(path: string, init: RequestInit): Promise<Answer> {
    const headers = { ...(this.#cookie && { cookie: this.#cookie }), ...init.headers }
    const response = await fetch(this.#base + path, { ...init, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) this.#keep(cookie)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  #keep(cookie: string): void {
    const [pair = ''] = cookie.split(';')
    this.#cookie = pair.endsWith('=') ? undefined : pair
  }
}

/** `hit`, `miss`, … as the badge of the product list says. */
export function outcomeOf({ text }: Answer): string | undefined {
  return /data-outcome="(\w+)"/.exec(text)?.[1]
}
