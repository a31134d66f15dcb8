import { type Html, html } from '@stowage/example-shared'
import type { Note, NoteRead } from '../note.ts'
import { ageOf, noteView } from './note-view.ts'

export interface ReadsTableOptions {
  readonly reads: readonly NoteRead[]
  readonly newest: Note | undefined
  readonly nameOf: (address: string | undefined) => string
  readonly token: string | undefined
  readonly now: number
}

export function readsTable(options: ReadsTableOptions): Html {
  const { reads, newest, now } = options
  return html`<section class="panel" aria-labelledby="reads-title">
    <div class="panel-head">
      <div>
        <h2 id="reads-title">Result of each read</h2>
        <p class="muted">${newest && `Read ${duration(now - newest.writtenAt)} after the write.`}</p>
      </div>
      <a class="button button-quiet" href="/">Read again</a>
    </div>
    <table class="reads" role="table">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">Reader</th>
          <th role="columnheader" scope="col">Result</th>
          <th role="columnheader" scope="col">Served by</th>
        </tr>
      </thead>
      <tbody role="rowgroup">${reads.map((read) => row(read, options))}</tbody>
    </table>
  </section>`
}

function row(read: NoteRead, { newest, nameOf, token }: ReadsTableOptions): Html {
  const { process, consistency, note, address, failure } = read
  const age = failure === undefined ? ageOf(note, newest) : 'failed'
  return html`<tr role="row" data-process="${process}" data-consistency="${consistency}" data-age="${age}">
    <th role="rowheader" scope="row">
      <span class="reader">Process ${process} <code>${consistency}</code></span>
      <span class="muted">${explanation(read, token)}</span>
    </th>
    <td role="cell">${failure ?? noteView(note, age)}</td>
    <td role="cell" data-label="Served by" data-server>${failure === undefined ? nameOf(address) : 'no server'}</td>
  </tr>`
}

function explanation({ process, consistency }: NoteRead, token: string | undefined): string {
  if (consistency === 'eventual') return 'reads from any replica'
  if (consistency === 'strong') return 'always reads from the primary'
  if (process === 'A') return 'reads its own write'
  if (process === 'C') return 'has no token'
  return token === undefined ? 'has no token yet' : 'has the token of the write'
}

function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`
  const seconds = ms / 1_000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.round(seconds / 60)
  return minutes === 1 ? '1 minute' : `${minutes} minutes`
}
