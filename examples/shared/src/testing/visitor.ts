export interface HttpResponse {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** An HTTP client with one cookie, which does not follow redirects. */
export class Visitor {
  #origin: string
  #cookie: string | undefined

  constructor(origin: string) {
    this.#origin = origin
  }

  get cookie(): string | undefined {
    return this.#cookie
  }

  /** Continues with another process of the app, with the same cookie. */
  moveTo(origin: string): void {
    this.#origin = origin
  }

  get(path: string): Promise<HttpResponse> {
    return this.#send(path, {})
  }

  post(
    path: string,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpResponse> {
    const body = new URLSearchParams(fields)
    return this.#send(path, { method: 'POST', body, headers })
  }

  async #send(path: string, init: RequestInit): Promise<HttpResponse> {
    const headers = { ...(this.#cookie && { cookie: this.#cookie }), ...init.headers }
    const response = await fetch(this.#origin + path, { ...init, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) this.#storeCookie(cookie)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  #storeCookie(header: string): void {
    const [pair = ''] = header.split(';')
    // An empty value deletes the cookie.
    this.#cookie = pair.endsWith('=') ? undefined : pair
  }
}
