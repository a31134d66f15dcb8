import { describe } from 'vitest'
import { sessionLocks } from './cases/locks.ts'

describe('redis', () => sessionLocks('redis'))
describe('memcached', () => sessionLocks('memcached'))
describe('postgres', () => sessionLocks('postgres'))
