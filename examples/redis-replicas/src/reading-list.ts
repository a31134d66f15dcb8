import { type Html, html } from './html.ts'
import type { Note, Reading } from './note.ts'
import { seen } from './seen.ts'

export interface ReadingListOptions {
  readonly readings: readonly Reading[]
  readonly newest: Note | undefined
  readonly nameOf: (address: string | undefined) => string
  readonly token: string | undefined
  readonly now: number
}

export function readingList(options: ReadingListOptions): Html {
  const { readings, newest, now } = options
  return html`<section class="panel" aria-labelledby="readings-title">
    <div class="panel-head">
      <div>
        <h2 id="readings-title">What each read sees</h2>
        <p class="muted">${newest && `Read ${span(now - newest.at)} after the write.`}</p>
      </div>
      <a class="button button-quiet" href="/">Read again</a>
    </div>
    <table class="readings" role="table">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">Who reads, and how</th>
          <th role="columnheader" scope="col">Sees</th>
          <th role="columnheader" scope="col">Answered by</th>
        </tr>
      </thead>
      <tbody role="rowgroup">${readings.map((reading) => row(reading, options))}</tbody>
    </table>
  </section>`
}

function row(reading: Reading, { newest, nameOf, token }: ReadingListOptions): Html {
  const { process, consistency, note, address, failure } = reading
  const age = failure !== undefined ? 'failed' : note?.at === newest?.at ? 'new' : 'old'
  return html`<tr role="row" data-process="${process}" data-consistency="${consistency}" data-age="${age}">
    <th role="rowheader" scope="row">
      <span class="reader">Process ${process} <code>${consistency}</code></span>
      <span class="muted">${explanation(reading, token)}</span>
    </th>
    <td role="cell">${failure ?? seen(note, age)}</td>
    <td role="cell" data-label="Answered by" data-server>${failure === undefined ? nameOf(address) : 'nobody'}</td>
  </tr>`
}

function explanation({ process, consistency }: Reading, token: string | undefined): string {
  if (consistency === 'eventual') return 'takes any replica as it is'
  if (consistency === 'strong') return 'always asks the primary'
  if (process === 'A') return 'wrote the note, so it never sees less'
  if (process === 'C') return 'knows nothing of the write'
  return token === undefined ? 'would be given a token' : 'was given the token of the write'
}

function span(ms: number): string {
  if (ms < 1_000) return `${ms} ms`
  const seconds = ms / 1_000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.round(seconds / 60)
  return minutes === 1 ? 'a minute' : `${minutes} minutes`
}
