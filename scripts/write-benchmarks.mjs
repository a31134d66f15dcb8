// Writes benchmarks/results.md, docs/side-by-side.md and the table of README.md from benchmarks/results: node scripts/write-benchmarks.mjs.
// `npm run bench -- --store` does that after each group. A test checks that they are current.
import { writeBenchmarkDocuments } from '../benchmarks/lib/reporting/documents.mjs'

writeBenchmarkDocuments()
