/**
 * How much later than it should something may be on a machine that is busy with other
 * work, ms. Less than what a test that fails would take: the library's own deadlines.
 */
export const SLACK = 4000;
