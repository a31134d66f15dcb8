import { type Html, html } from '@stowage/example-shared'
import type { Note } from '../note.ts'

export type Age = 'new' | 'old' | 'failed'

const badges: Readonly<Record<Age, string>> = { new: 'good', old: 'warning', failed: 'error' }

/** `new` if `note` is the newest note that any read returned. */
export function ageOf(note: Note | undefined, newest: Note | undefined): Age {
  return note?.writtenAt === newest?.writtenAt ? 'new' : 'old'
}

export function noteView(note: Note | undefined, age: Age): Html {
  if (note === undefined) return html`<i>no value</i>`
  return html`<span class="note">“${note.text}” <span class="badge badge-${badges[age]}">${age}</span></span>`
}
