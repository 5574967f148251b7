# Prints every secret in every way that the mask must see through, on both streams. Reads the values from a file, each ended by a
# zero byte, so that none is in a command line. Runs on the droplet.
use strict;
use warnings;

open(my $file, '<', '/tmp/it-printed') or die;
local $/ = "\0";
my @values = map { chomp; $_ } <$file>;
local $| = 1;
select(STDERR);
local $| = 1;
select(STDOUT);

# The droplet has perl without its modules.
sub encode_base64 {
    my ($value) = @_;
    my $out = '';
    while ($value =~ /(.{1,45})/gs) {
        my $line = substr(pack('u', $1), 1);
        $line =~ s/\n//;
        $line =~ tr|` -_|AA-Za-z0-9+/|;
        $out .= $line;
    }
    my $fill = (3 - length($value) % 3) % 3;
    $out =~ s/.{$fill}$/'=' x $fill/e if $fill;
    return $out;
}

sub pause { select(undef, undef, undef, $_[0]) }
sub mapped { my ($value, $how) = @_; $value =~ s/(.)/sprintf($how, ord($1))/gse; return $value }
sub wrapped { my ($text, $width) = @_; $text =~ s/(.{$width})/$1\n/g; return $text }

for my $value (@values) {
    my $plain = encode_base64("u:$value");
    (my $json = $value) =~ s/(["\\])/\\$1/g;
    $json =~ s/\n/\\n/g;
    (my $url = $value) =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord($1))/ge;
    (my $sql = $value) =~ s/'/''/g;
    (my $shell = $value) =~ s/'/'\\''/g;
    (my $html = $value) =~ s/&/&amp;/g;
    $html =~ s/</&lt;/g;
    $html =~ s/"/&quot;/g;
    $html =~ s/'/&#39;/g;
    (my $colour = $value) =~ s/^(.)(.)/$1\e[31m$2\e[0m/s;
    (my $safe = encode_base64($value)) =~ tr{+/}{-_};
    my @ways = (
        $value, encode_base64($value), $plain, encode_base64("us:$value\n"), $safe, wrapped($plain, 20), wrapped($plain, 64),
        wrapped($plain, 76), mapped($value, '%02x'), mapped($value, '%02X'), mapped($value, '%02x '), mapped($value, '%%%02x'),
        mapped($value, '\\x%02x'), mapped($value, '\\%03o'), $url, $json, $sql, $shell, $html, $colour, "{\"k\":\"$json\"}",
    );
    for my $way (@ways) {
        print STDOUT "out <$way> end\n";
        print STDERR "err <$way> end\r\n";
    }
    next if length($value) > 200;
    # In two, at every place; and drop by drop.
    for my $at (1 .. length($value) - 1) {
        print STDOUT 'cut <', substr($value, 0, $at);
        pause(($at % 4) * 0.004);
        print STDOUT substr($value, $at), "> end\n";
    }
    for my $drop (split //, $url) { print STDERR $drop; pause(0.001) }
    print STDERR "\n";
}
