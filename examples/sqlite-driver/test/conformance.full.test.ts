import { conform, ManualClock } from '@stowage/testing'
import { test } from 'vitest'
import { sqlite } from '../dist/sqlite-driver.js'

const clock = new ManualClock()

conform(test, () => sqlite({ clock }), { wait: (ms) => clock.advance(ms), exact: true })
