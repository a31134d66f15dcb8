import { facade } from '@stowage/testing/simulation'
import { bus, near, siblings } from './caching/near.ts'
import { exactWrites, writeThrough } from './caching/write-through.ts'
import { changing, lostMarks } from './changes/changing.ts'
import { batching } from './facade/batching.ts'
import { generations } from './facade/generations.ts'
import { memo } from './facade/memo.ts'
import { sessionToken } from './facade/session-token.ts'
import { failover } from './failover/failover.ts'
import { limits } from './limits/limits.ts'
import { clearedLoads, groupedLoads, remember } from './loads/remember.ts'
import { tags } from './loads/tags.ts'
import { locks } from './locks/locks.ts'
import { sessions } from './user-sessions/sessions.ts'

export { sessionsWith } from './user-sessions/sessions.ts'

/** The scenarios of `npm run simulate`, by name. */
export const scenarios: {
  readonly facade: typeof facade
  readonly remember: typeof remember
  readonly 'cleared-loads': typeof clearedLoads
  readonly 'grouped-loads': typeof groupedLoads
  readonly tags: typeof tags
  readonly generations: typeof generations
  readonly locks: typeof locks
  readonly limits: typeof limits
  readonly batching: typeof batching
  readonly memo: typeof memo
  readonly near: typeof near
  readonly bus: typeof bus
  readonly siblings: typeof siblings
  readonly 'write-through': typeof writeThrough
  readonly 'exact-writes': typeof exactWrites
  readonly changing: typeof changing
  readonly 'lost-marks': typeof lostMarks
  readonly failover: typeof failover
  readonly 'session-token': typeof sessionToken
  readonly sessions: typeof sessions
} = {
  facade,
  remember,
  'cleared-loads': clearedLoads,
  'grouped-loads': groupedLoads,
  tags,
  generations,
  locks,
  limits,
  batching,
  memo,
  near,
  bus,
  siblings,
  'write-through': writeThrough,
  'exact-writes': exactWrites,
  changing,
  'lost-marks': lostMarks,
  failover,
  'session-token': sessionToken,
  sessions,
}
