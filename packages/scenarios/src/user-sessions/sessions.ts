import { Sessions } from '@stowage/sessions'
import { faultsOfFixedNodes, fc, type Scenario } from '@stowage/testing/simulation'
import { judgeSessions } from './judge-sessions.ts'
import { type UserSessionCall, userSessionCall, users } from './session-calls.ts'
import { SessionLog } from './session-log.ts'
import { SessionProgram } from './session-program.ts'

/** Requests of a few users that overlap: with each other, with logouts and with new ids. */
export const sessions: Scenario<UserSessionCall> = {
  name: 'sessions',
  summary: 'sessions: what has ended stays so, and no acknowledged change is lost',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    ttlStep: fc.constantFrom(1, 1_000),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
  }),
  call: userSessionCall,
  gapMs: 6,
  groupMs: 250,
  // With a lost id of a generation, sessions may end at any time.
  withoutFaults: ({ scan }) => scan === false,
  faults: faultsOfFixedNodes,
  lastCalls: Array.from({ length: users }, (_, user) => ({
    op: 'request' as const,
    action: 'read' as const,
    key: 0,
    ms: 0,
    user,
    isOld: false,
  })),
  // The users of sessions are remembered.
  isOwnKey: (key, value) => key.startsWith('v1:') && typeof value !== 'string',
  start: startWith(Sessions),
  judge: judgeSessions,
}

/** The same with another class, to show that its defects are found. */
export function sessionsWith(replaced: typeof Sessions): Scenario<UserSessionCall> {
  return { ...sessions, start: startWith(replaced) }
}

function startWith(sessionsClass: typeof Sessions): Scenario<UserSessionCall>['start'] {
  return (context) => {
    const log = SessionLog.of(context.shared)
    context.shared.set('session log', log)
    return new SessionProgram(context, sessionsClass, log)
  }
}
