import type { Action } from './actions.ts'

/** Sends single requests. */
export interface Transport {
  /** Host and port of the endpoint, once it is known. */
  readonly host: string | undefined
  /** Whether a tool for tracing sees the requests. */
  readonly isInstrumented: boolean
  /**
   * Resolves to the output of the action. Rejects with the exception of the server, under the name that the SDK uses, or
   * with a `DeadlineError` after `ms` milliseconds. Once it has settled, nothing more is sent.
   */
  send(action: Action, input: object, ms: number): Promise<object>
  /** Closes the connections that it has opened. */
  close(): Promise<void>
}
