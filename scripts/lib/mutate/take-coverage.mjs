import { takeCoverage } from 'node:v8'
import { afterAll } from 'vitest'

// Vitest ends its workers before Node writes the coverage. Has no effect without NODE_V8_COVERAGE.
afterAll(() => takeCoverage())
