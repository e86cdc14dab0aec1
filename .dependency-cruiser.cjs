// The gate against circular imports and against imports that point the wrong way.

/** The houses of src/, from the bottom up: a house imports from its own row and from rows above it here. */
const ROWS = [
  ['config', 'auth', 'store', 'media', 'limits', 'outbound'],
  ['sfu'],
  ['pipeline', 'bridge', 'storage', 'webhooks'],
  ['uploads', 'web-source'],
  ['egress', 'ingress'],
  ['admission'],
  ['api', 'jobs', 'signaling'],
  ['service'],
  ['demo'],
  ['cli'],
];

const upwards = ROWS.slice(0, -1).map((houses, row) => ({
  name: `one-way-from-${houses.join('-')}`,
  comment: `${houses.join(', ')} must not know the houses that are built on them.`,
  severity: 'error',
  from: { path: `^src/(${houses.join('|')})/` },
  to: {
    path: `^src/(${ROWS.slice(row + 1)
      .flat()
      .join('|')})/`,
  },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Two files that need each other are one thing, or hide a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...upwards,
    {
      name: 'known-houses',
      comment: 'A new folder in src/ needs its row in .dependency-cruiser.cjs.',
      severity: 'error',
      from: {},
      to: { path: '^src/[^/]+/', pathNot: `^src/(${ROWS.flat().join('|')})/` },
    },
    {
      name: 'egress-and-ingress-apart',
      severity: 'error',
      from: { path: '^src/(egress|ingress)/' },
      to: { path: '^src/(egress|ingress)/', pathNot: '^src/$1/' },
    },
    {
      name: 'programs-apart',
      comment: 'src/ shares nothing with the gjs programs but their protocol, and they know nothing of src/.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '^pipelines/',
        pathNot: '^pipelines/(shared/|publisher/(protocol|signal|picture|barcode)[.]ts$)',
      },
    },
    {
      name: 'test-publisher-for-the-demo-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/demo/' },
      to: { path: '^pipelines/publisher/' },
    },
    {
      name: 'programs-stand-alone',
      severity: 'error',
      from: { path: '^pipelines/' },
      to: { path: '^(src|test|bench|scripts|web|node_modules)/' },
    },
    {
      name: 'product-without-tools',
      comment: 'What is shipped runs without what is only in a checkout.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts|fixtures)/' },
    },
    {
      name: 'product-without-dev-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^pipelines/types/' },
    tsConfig: { fileName: 'tsconfig.json' },
    // Imports of types count too.
    tsPreCompilationDeps: true,
  },
};
