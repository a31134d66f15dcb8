import { type Html, html } from './html.ts'
import type { Note } from './note.ts'

/** What somebody sees of the note, and whether it is the newest. */
export function seen(note: Note | undefined, age: 'new' | 'old' | 'failed'): Html {
  if (note === undefined) return html`<i>nothing</i>`
  return html`<span class="seen">“${note.text}” <span class="badge badge-${age}">${age}</span></span>`
}
