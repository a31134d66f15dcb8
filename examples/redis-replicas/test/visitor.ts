/** What the page says of one read. */
export interface Row {
  readonly reader: string
  readonly age: string
  readonly server: string
}

/** Somebody with a browser that keeps its cookie. */
export class Visitor {
  readonly #url: string
  cookie = ''

  constructor(url: string) {
    this.#url = url
  }

  /** Sends the form, and keeps the cookie of the answer. */
  async send(text: string): Promise<void> {
    const answer = await this.post('/note', { text })
    if (answer.status !== 303) throw new Error(`${answer.status}: ${await answer.text()}`)
    this.cookie = answer.headers.get('Set-Cookie')?.split(';')[0] ?? this.cookie
  }

  /** Sends the form, and looks at the page that follows. */
  async write(text: string): Promise<Row[]> {
    await this.send(text)
    return this.read()
  }

  async read(): Promise<Row[]> {
    return rowsOf(await this.page())
  }

  async page(): Promise<string> {
    const answer = await fetch(this.#url, { headers: { Cookie: this.cookie } })
    if (!answer.ok) throw new Error(`${answer.status}`)
    return answer.text()
  }

  post(path: string, fields: Readonly<Record<string, string>>): Promise<Response> {
    const body = new URLSearchParams(fields)
    return fetch(this.#url + path, { method: 'POST', body, redirect: 'manual' })
  }
}

function rowsOf(page: string): Row[] {
  const form = /data-process="(.)" data-consistency="(\w+)" data-age="(\w+)".*?data-server>(.*?)</gs
  return [...page.matchAll(form)].map(([, process, consistency, age = '', server = '']) => ({
    reader: `${process} ${consistency}`,
    age,
    server,
  }))
}
