import { channel } from 'node:diagnostics_channel'

/** Published on the diagnostics channel `stowage:lmdb`. */
export interface LmdbEvent {
  /** The file was moved aside, and the cache is empty. */
  readonly type: 'set-aside'
  /** Directory of the store. */
  readonly path: string
  /** Where the damaged or foreign file is now. */
  readonly movedTo: string
  /** Completes the sentence "the file …". */
  readonly reason: string
}

const events = channel('stowage:lmdb')

/** Publishes the event, and emits a warning of the process. */
export function publish(event: LmdbEvent): void {
  events.publish(event)
  process.emitWarning(
    `The file in ${event.path} ${event.reason}. It was moved to ${event.movedTo}; the cache starts empty.`,
    { code: 'STOWAGE_LMDB_SET_ASIDE' },
  )
}
