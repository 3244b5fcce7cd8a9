<?php

// SimpleSAMLphp for the tests. What is private to one server stands in its folder, in USHER_TEST_FOLDER.

$folder = getenv('USHER_TEST_FOLDER');
$state = json_decode(file_get_contents("$folder/state.json"), true);
$config = [
    'baseurlpath' => $state['url'] . '/',
    'certdir' => "$folder/",
    'loggingdir' => "$folder/",
    'datadir' => "$folder/",
    'tempdir' => "$folder/temporary",
    'metadatadir' => __DIR__ . '/metadata/',
    'attributenamemapdir' => '/usr/share/simplesamlphp/config/attributemap/',
    'technicalcontact_name' => 'Tests',
    'technicalcontact_email' => 'na@example.org',
    'secretsalt' => 'only for tests',
    'auth.adminpassword' => 'only for tests',
    'timezone' => 'UTC',
    'admin.checkforupdates' => false,
    'trusted.url.domains' => null,
    'showerrors' => true,
    'errorreporting' => false,
    'logging.level' => \SimpleSAML\Logger::NOTICE,
    'logging.handler' => 'errorlog',
    'logging.processname' => 'simplesamlphp',
    'enable.saml20-idp' => true,
    'module.enable' => ['core' => true, 'saml' => true, 'exampleauth' => true],
    'session.cookie.secure' => false,
    'session.cookie.samesite' => null,
    'session.phpsession.cookiename' => 'SimpleSAML',
    'session.phpsession.savepath' => "$folder/sessions",
    'session.phpsession.httponly' => true,
    'session.authtoken.cookiename' => 'SimpleSAMLAuthToken',
    'language.cookie.secure' => false,
    'language.cookie.samesite' => null,
    'language.default' => 'en',
    'theme.use' => 'default',
    'store.type' => 'phpsession',
    'metadata.sources' => [['type' => 'flatfile']],
];
