import { Visitor } from '@stowage/example-shared/testing'

/** A row of the page: one read. */
export interface Row {
  readonly reader: string
  readonly age: string
  readonly server: string
}

/** A visitor of the page with the note. */
export class NoteVisitor extends Visitor {
  /** Submits the form without loading the page. */
  async submit(text: string): Promise<void> {
    const { status, text: page } = await this.post('/note', { text })
    if (status !== 303) throw new Error(`${status}: ${page}`)
  }

  /** Submits the form and loads the page. */
  async write(text: string): Promise<Row[]> {
    await this.submit(text)
    return this.read()
  }

  async read(): Promise<Row[]> {
    return rowsOf(await this.page())
  }

  async page(): Promise<string> {
    const { status, text } = await this.get('/')
    if (status !== 200) throw new Error(`${status}: ${text}`)
    return text
  }
}

function rowsOf(page: string): Row[] {
  const row = /data-process="(.)" data-consistency="(\w+)" data-age="(\w+)".*?data-server>(.*?)</gs
  return [...page.matchAll(row)].map(([, process, consistency, age = '', server = '']) => ({
    reader: `${process} ${consistency}`,
    age,
    server,
  }))
}
